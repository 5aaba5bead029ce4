#include "capture/pipewire_handles.h"

#include <fcntl.h>
#include <pipewire/impl.h>
#include <spa/utils/result.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "daemon/base/check.h"
#include "daemon/base/status.h"

// PipeWire's method macros are C (casts, statement expressions) in whoever's
// line uses them.
#pragma GCC diagnostic ignored "-Wold-style-cast"
#ifdef __clang__
#pragma clang diagnostic ignored "-Wgnu-statement-expression"
#endif

namespace kine {
namespace {

// Once a process. What goes wrong comes back as a value, so the library's own
// lines on stderr are only for whoever asks for them.
void InitPipeWire() {
  static const bool kDone = [] {
    pw_init(nullptr, nullptr);
    if (std::getenv("PIPEWIRE_DEBUG") == nullptr)
      pw_log_set_level(SPA_LOG_LEVEL_NONE);
    return true;
  }();
  static_cast<void>(kDone);
}

absl::Status Unavailable(int error, absl::string_view what) {
  return absl::UnavailableError(absl::StrCat(what, ": ", strerror(error)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<PipeWireConnection>> PipeWireConnection::Open(
    const std::string& remote, Owner& owner, Loop& loop) {
  auto self =
      std::unique_ptr<PipeWireConnection>(new PipeWireConnection(owner, loop));
  KINE_RETURN_IF_ERROR(self->MakeContext());
  pw_properties* props = pw_properties_new(nullptr, nullptr);
  if (!remote.empty())
    pw_properties_set(props, PW_KEY_REMOTE_NAME, remote.c_str());
  PipeWirePtr<pw_core> core(pw_context_connect(self->context_.get(), props, 0));
  if (core == nullptr) {
    const int error = errno;
    const std::string path = PipeWireSocketPath(remote);
    // What PipeWire calls a missing or dead socket ("Host is down").
    if (error == EHOSTDOWN)
      return absl::UnavailableError(
          absl::StrCat("no PipeWire server at ", path,
                       ": start pipewire, or check XDG_RUNTIME_DIR"));
    return Unavailable(error, absl::StrCat("PipeWire server ", path));
  }
  self->Listen(std::move(core));
  return self;
}

absl::StatusOr<std::unique_ptr<PipeWireConnection>> PipeWireConnection::Adopt(
    UniqueFd socket, Owner& owner, Loop& loop) {
  if (fcntl(socket.get(), F_GETFD) < 0)
    return Unavailable(errno, "socket of the PipeWire remote");
  auto self =
      std::unique_ptr<PipeWireConnection>(new PipeWireConnection(owner, loop));
  KINE_RETURN_IF_ERROR(self->MakeContext());
  // Takes the socket, also when it fails.
  PipeWirePtr<pw_core> core(pw_context_connect_fd(
      self->context_.get(), socket.Release(), nullptr, 0));
  if (core == nullptr) return Unavailable(errno, "PipeWire remote");
  self->Listen(std::move(core));
  return self;
}

absl::Status PipeWireConnection::MakeContext() {
  InitPipeWire();
  pw_loop_.reset(pw_loop_new(nullptr));
  if (pw_loop_ == nullptr) return ErrnoStatus(errno, "pw_loop_new");
  // For good: a loop that nobody has entered counts as everybody's, and the
  // data thread would run process() itself instead of sending it here.
  pw_loop_enter(pw_loop_.get());
  context_.reset(pw_context_new(
      pw_loop_.get(), pw_properties_new(PW_KEY_CONFIG_NAME, "null", nullptr),
      0));
  if (context_ == nullptr) return ErrnoStatus(errno, "pw_context_new");
  for (const char* module : {"libpipewire-module-protocol-native",
                             "libpipewire-module-client-node"}) {
    if (pw_context_load_module(context_.get(), module, nullptr, nullptr) ==
        nullptr) {
      return absl::UnimplementedError(
          absl::StrCat("cannot load ", module, ": ", strerror(errno)));
    }
  }
  return absl::OkStatus();
}

void PipeWireConnection::Listen(PipeWirePtr<pw_core> core) {
  static const pw_core_events kEvents = [] {
    pw_core_events events{};
    events.version = PW_VERSION_CORE_EVENTS;
    events.done = &PipeWireConnection::OnDone;
    events.error = &PipeWireConnection::OnError;
    return events;
  }();
  core_ = std::move(core);
  pw_core_add_listener(core_.get(), hook_.get(), &kEvents, this);
  // The result only says how many sources ran; a dead socket comes to OnError.
  watch_ = LoopHandle(loop_, loop_.Watch(pw_loop_get_fd(pw_loop_.get()),
                                         EPOLLIN, [this](uint32_t) {
                                           pw_loop_iterate(pw_loop_.get(), 0);
                                         }));
}

PipeWireConnection::~PipeWireConnection() {
  watch_.Cancel();
  hook_.Remove();
  core_.reset();
  context_.reset();  // Ends the data thread.
  if (pw_loop_ != nullptr) pw_loop_leave(pw_loop_.get());
}

void PipeWireConnection::Sync() {
  sync_seq_ = pw_core_sync(core_.get(), PW_ID_CORE, sync_seq_);
}

void PipeWireConnection::OnDone(void* self, uint32_t id, int seq) {
  auto& connection = *static_cast<PipeWireConnection*>(self);
  if (id == PW_ID_CORE && seq == connection.sync_seq_)
    connection.owner_.OnSynced();
}

void PipeWireConnection::OnError(void* self, uint32_t id, int /*seq*/,
                                 int result, const char* message) {
  auto& connection = *static_cast<PipeWireConnection*>(self);
  // Errors of other objects come to their own listeners.
  if (id != PW_ID_CORE || result != -EPIPE || connection.lost_) return;
  connection.lost_ = true;
  connection.owner_.OnConnectionLost(absl::UnavailableError(
      absl::StrCat("PipeWire server gone: ",
                   message != nullptr ? message : spa_strerror(result))));
}

std::string PipeWireSocketPath(absl::string_view remote) {
  std::string name(remote);
  if (name.empty()) {
    const char* env = std::getenv("PIPEWIRE_REMOTE");
    name = env != nullptr && *env != '\0' ? env : PW_DEFAULT_REMOTE;
  }
  if (name[0] == '/') return name;
  for (const char* variable : {"PIPEWIRE_RUNTIME_DIR", "XDG_RUNTIME_DIR"}) {
    if (const char* dir = std::getenv(variable); dir != nullptr && *dir == '/')
      return absl::StrCat(dir, "/", name);
  }
  return absl::StrCat("/run/pipewire/", name);
}

absl::StatusOr<std::unique_ptr<SocketWatch>> SocketWatch::Create(
    std::string path, Loop& loop, absl::AnyInvocable<void()> appeared) {
  UniqueFd inotify(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify.valid()) return ErrnoStatus(errno, "inotify_init1");
  auto self = std::unique_ptr<SocketWatch>(new SocketWatch(
      std::move(path), std::move(inotify), std::move(appeared)));
  KINE_RETURN_IF_ERROR(self->Arm());
  self->watch_ = LoopHandle(loop, loop.Watch(self->inotify_.get(), EPOLLIN,
                                             [watch = self.get()](uint32_t) {
                                               watch->OnReadable();
                                             }));
  return self;
}

absl::Status SocketWatch::Arm() {
  if (watch_id_ >= 0) inotify_rm_watch(inotify_.get(), watch_id_);
  constexpr uint32_t kMask =
      IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
  std::string path = path_;
  while (true) {
    const size_t slash = path.rfind('/');
    KINE_CHECK(slash != std::string::npos);
    const std::string child = path;
    awaited_ = path.substr(slash + 1);
    path.resize(slash);
    watch_id_ = inotify_add_watch(inotify_.get(),
                                  path.empty() ? "/" : path.c_str(), kMask);
    if (watch_id_ >= 0) {
      in_place_ = child == path_;
      if (in_place_ || access(child.c_str(), F_OK) != 0)
        return absl::OkStatus();
      // It came between the two attempts: start again from the bottom.
      inotify_rm_watch(inotify_.get(), watch_id_);
      path = path_;
      continue;
    }
    if ((errno != ENOENT && errno != ENOTDIR) || path.empty())
      return ErrnoStatus(errno, absl::StrCat("watch ", path));
  }
}

void SocketWatch::OnReadable() {
  alignas(inotify_event) std::array<char, 4096> bytes;
  bool matched = false;
  bool moved = false;
  while (true) {
    const ssize_t got = read(inotify_.get(), bytes.data(), bytes.size());
    if (got <= 0) break;
    for (size_t at = 0; at < static_cast<size_t>(got);) {
      inotify_event event;
      std::memcpy(&event, bytes.data() + at, sizeof event);
      const char* name = bytes.data() + at + sizeof event;
      at += sizeof event + event.len;
      if (event.mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_Q_OVERFLOW))
        moved = true;
      else if (event.len > 0 && awaited_ == name)
        matched = true;
    }
  }
  // A directory on the way came or went: look from the nearest one again. A
  // failure leaves the old watch, and the caller's next attempt arms anew.
  if (moved || (matched && !in_place_)) static_cast<void>(Arm());
  if (matched || moved) appeared_();
}

}  // namespace kine
