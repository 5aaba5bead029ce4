#include "tests/fakes/fake_portal.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/check.h"

namespace kine {
namespace {

constexpr char kName[] = "org.freedesktop.portal.Desktop";
constexpr char kRoot[] = "/org/freedesktop/portal/desktop";

}  // namespace

// -- PrivateBus

std::unique_ptr<PrivateBus> PrivateBus::Start() {
  char directory[] = "/tmp/kine_bus.XXXXXX";
  KINE_CHECK(::mkdtemp(directory) != nullptr);
  std::unique_ptr<PrivateBus> bus(new PrivateBus(directory));
  const std::string address = absl::StrCat("unix:path=", directory, "/bus");
  const std::string config = absl::StrCat(directory, "/bus.conf");
  std::ofstream(config)
      << "<busconfig><type>session</type><listen>" << address << "</listen>"
      << "<policy context=\"default\"><allow send_destination=\"*\"/>"
      << "<allow receive_sender=\"*\"/><allow own=\"*\"/></policy>"
      << "</busconfig>";
  bus->output_ =
      ::popen(absl::StrCat("exec setpriv --pdeathsig KILL dbus-daemon --nofork "
                           "--nopidfile --print-pid=1 --config-file=",
                           config, " 2>/dev/null")
                  .c_str(),
              "re");
  KINE_CHECK(bus->output_ != nullptr);
  // Written when it listens.
  if (std::fscanf(bus->output_, "%d", &bus->pid_) != 1) return nullptr;
  if (const char* old = std::getenv("DBUS_SESSION_BUS_ADDRESS"))
    bus->saved_address_ = old;
  ::setenv("DBUS_SESSION_BUS_ADDRESS", address.c_str(), 1);
  return bus;
}

PrivateBus::PrivateBus(std::string directory)
    : directory_(std::move(directory)) {}

PrivateBus::~PrivateBus() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    if (saved_address_) {
      ::setenv("DBUS_SESSION_BUS_ADDRESS", saved_address_->c_str(), 1);
    } else {
      ::unsetenv("DBUS_SESSION_BUS_ADDRESS");
    }
  }
  if (output_ != nullptr) ::pclose(output_);
  std::filesystem::remove_all(directory_);
}

// -- FakePortal

FakePortal::FakePortal(Loop& loop) {
  auto bus = SessionBus::Open(loop, [](absl::Status) {});
  KINE_CHECK(bus.ok());
  bus_ = *std::move(bus);
  sd_bus_slot* slot = nullptr;
  KINE_CHECK(sd_bus_add_fallback(bus_->get(), &slot, kRoot,
                                 &FakePortal::OnMessage, this) >= 0);
  object_.reset(slot);
  KINE_CHECK(sd_bus_request_name(bus_->get(), kName, 0) >= 0);
}

void FakePortal::SendTo(sd_bus_message* message) {
  (void)sd_bus_message_set_destination(message, client_.c_str());
  bus_->Send(message);
}

void FakePortal::CloseSession() {
  sd_bus_message* signal = nullptr;
  KINE_CHECK(sd_bus_message_new_signal(bus_->get(), &signal, session_.c_str(),
                                       "org.freedesktop.portal.Session",
                                       "Closed") >= 0);
  const SdBusMessage owned(signal);
  (void)sd_bus_message_append(signal, "a{sv}", 0);
  SendTo(signal);
}

void FakePortal::SendForeignResponse() {
  Respond(absl::StrCat(kRoot, "/request/9_9/other"), 0, "");
}

int FakePortal::OnMessage(sd_bus_message* message, void* self, sd_bus_error*) {
  auto* const portal = static_cast<FakePortal*>(self);
  KINE_CHECK(portal->OnCall(message) >= 0);
  if (portal->on_call) portal->on_call();
  return 1;
}

int FakePortal::OnCall(sd_bus_message* message) {
  ++seen.calls;
  client_ = sd_bus_message_get_sender(message);
  const std::string member = sd_bus_message_get_member(message);
  const std::string interface = sd_bus_message_get_interface(message);
  if (interface == "org.freedesktop.DBus.Properties") {
    if (habits.no_screen_cast) {
      return sd_bus_reply_method_errorf(
          message, "org.freedesktop.DBus.Error.InvalidArgs", "%s",
          "No such interface \"org.freedesktop.portal.ScreenCast\"");
    }
    return ReplyProperties(message);
  }
  if (member == "Close") {
    ++(interface == "org.freedesktop.portal.Session" ? seen.sessions_closed
                                                     : seen.requests_closed);
    return 0;
  }
  if (member == "OpenPipeWireRemote") return ReplyRemote(message);
  return AnswerRequest(message, member);
}

int FakePortal::ReplyProperties(sd_bus_message* message) {
  sd_bus_message* reply = nullptr;
  int result = sd_bus_message_new_method_return(message, &reply);
  const SdBusMessage owned(reply);
  const std::string member = sd_bus_message_get_member(message);
  if (result >= 0 && member == "Get")
    result = sd_bus_message_append(reply, "v", "u", habits.types);
  if (result >= 0 && member == "GetAll") {
    result = sd_bus_message_open_container(reply, 'a', "{sv}");
    // Also one that nobody knows, of a type that nobody expects.
    if (result >= 0) {
      result =
          sd_bus_message_append(reply, "{sv}{sv}{sv}", "FromTheFuture", "(ss)",
                                "a", "b", "AvailableSourceTypes", "u",
                                habits.types, "version", "u", habits.version);
    }
    if (result >= 0 && habits.cursor_modes) {
      result = sd_bus_message_append(reply, "{sv}", "AvailableCursorModes", "u",
                                     *habits.cursor_modes);
    }
    if (result >= 0) result = sd_bus_message_close_container(reply);
  }
  if (result >= 0) bus_->Send(reply);
  return result;
}

int FakePortal::ReadOptions(sd_bus_message* message,
                            std::string& handle_token) {
  int result = sd_bus_message_enter_container(message, 'a', "{sv}");
  while (result >= 0 &&
         (result = sd_bus_message_enter_container(message, 'e', "sv")) > 0) {
    const char* key = nullptr;
    const char* text = nullptr;
    uint32_t number = 0;
    const char* type = nullptr;
    (void)sd_bus_message_read(message, "s", &key);
    (void)sd_bus_message_peek_type(message, nullptr, &type);
    if (std::strcmp(type, "s") == 0) {
      (void)sd_bus_message_read(message, "v", "s", &text);
    } else if (std::strcmp(type, "u") == 0) {
      (void)sd_bus_message_read(message, "v", "u", &number);
    } else {
      (void)sd_bus_message_skip(message, "v");
    }
    const std::string name = key;
    if (name == "handle_token") handle_token = text;
    if (name == "session_handle_token") session_token_ = text;
    if (name == "restore_token") seen.restore_token = text;
    if (name == "types") seen.types = number;
    if (name == "cursor_mode") seen.cursor_mode = number;
    if (name == "persist_mode") seen.persist_mode = number;
    result = sd_bus_message_exit_container(message);
  }
  return result;
}

int FakePortal::AnswerRequest(sd_bus_message* message,
                              const std::string& member) {
  const char* text = nullptr;
  if (member != "CreateSession") {
    (void)sd_bus_message_read(message, "o", &text);
    KINE_CHECK(text == session_);
  }
  if (member == "Start") (void)sd_bus_message_read(message, "s", &text);
  if (member == "SelectSources") {
    seen.cursor_mode.reset();
    seen.persist_mode.reset();
    seen.restore_token.clear();
  }
  std::string token;
  int result = ReadOptions(message, token);
  if (result < 0) return result;
  if (member == "CreateSession" && habits.mute) return 0;
  std::string sender = client_.substr(1);
  std::replace(sender.begin(), sender.end(), '.', '_');
  if (member == "CreateSession") {
    ++seen.sessions;
    session_ = absl::StrCat(kRoot, "/session/", sender, "/", session_token_);
  }
  if (habits.own_paths) token = absl::StrCat("t", ++paths_);
  const std::string path = absl::StrCat(kRoot, "/request/", sender, "/", token);

  const std::optional<uint32_t> code =
      member == "Start" ? habits.start_response : 0;
  if (habits.response_first && code) Respond(path, *code, member);
  sd_bus_message* reply = nullptr;
  result = sd_bus_message_new_method_return(message, &reply);
  const SdBusMessage owned(reply);
  if (result >= 0) result = sd_bus_message_append(reply, "o", path.c_str());
  if (result >= 0) bus_->Send(reply);
  if (!habits.response_first && code) Respond(path, *code, member);
  return result;
}

void FakePortal::Respond(const std::string& path, uint32_t code,
                         const std::string& member) {
  sd_bus_message* response = nullptr;
  int result =
      sd_bus_message_new_signal(bus_->get(), &response, path.c_str(),
                                "org.freedesktop.portal.Request", "Response");
  const SdBusMessage owned(response);
  if (result >= 0) result = sd_bus_message_append(response, "u", code);
  if (result >= 0)
    result = sd_bus_message_open_container(response, 'a', "{sv}");
  if (result >= 0 && member == "CreateSession") {
    result = sd_bus_message_append(response, "{sv}", "session_handle", "s",
                                   session_.c_str());
  }
  if (result >= 0 && member == "Start" && code == 0) {
    if (!habits.restore_token.empty()) {
      result = sd_bus_message_append(response, "{sv}", "restore_token", "s",
                                     habits.restore_token.c_str());
    }
    if (result >= 0 && !habits.no_streams) result = AppendStreams(response);
  }
  if (result >= 0) result = sd_bus_message_close_container(response);
  KINE_CHECK(result >= 0);
  SendTo(response);
}

int FakePortal::AppendStreams(sd_bus_message* response) {
  if (!habits.serial) {
    return sd_bus_message_append(response, "{sv}", "streams", "a(ua{sv})", 2,
                                 habits.node_id, 1, "source_type", "u", 1u,
                                 habits.node_id + 1, 0);
  }
  return sd_bus_message_append(response, "{sv}", "streams", "a(ua{sv})", 1,
                               habits.node_id, 2, "position", "(ii)", 0, 0,
                               "pipewire-serial", "t", *habits.serial);
}

int FakePortal::ReplyRemote(sd_bus_message* message) {
  ++seen.remotes;
  UniqueFd remote;
  if (habits.open_remote) {
    remote = habits.open_remote();
  } else {
    int fds[2];
    KINE_CHECK(::pipe2(fds, O_CLOEXEC) == 0);
    ::close(fds[1]);
    remote = UniqueFd(fds[0]);
  }
  sd_bus_message* reply = nullptr;
  int result = sd_bus_message_new_method_return(message, &reply);
  const SdBusMessage owned(reply);
  if (result >= 0) result = sd_bus_message_append(reply, "h", remote.get());
  if (result >= 0) bus_->Send(reply);
  return result;
}

}  // namespace kine
