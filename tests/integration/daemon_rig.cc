#include "tests/integration/daemon_rig.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/base/check.h"

namespace kine {
namespace {

int Millis(absl::Duration duration) {
  return static_cast<int>(
      std::max<int64_t>(0, absl::ToInt64Milliseconds(duration)));
}

UniqueFd NotifySocket(const std::string& path) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  KINE_CHECK(path.size() < sizeof address.sun_path);
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  KINE_CHECK(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address),
                    sizeof address) == 0);
  return fd;
}

// True when the process has something of the directory open.
bool HoldsOpen(const std::string& proc, const std::string& directory) {
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator(proc + "/fd", error)) {
    const std::string target =
        std::filesystem::read_symlink(entry.path(), error).string();
    if (target == directory || absl::StartsWith(target, directory + "/"))
      return true;
  }
  return false;
}

}  // namespace

DaemonRig::DaemonRig(Options options) : options_(std::move(options)) {
  std::filesystem::create_directory(directory_.File("run"));
  notify_ = NotifySocket(directory_.File("notify"));
  Start();
}

DaemonRig::~DaemonRig() {
  if (daemon_.running()) {
    EXPECT_EQ(Stop(), 0) << Log();
  }
  if (testing::Test::HasFailure()) std::fputs(Log().c_str(), stderr);
}

std::vector<std::pair<std::string, std::string>> DaemonRig::Environment()
    const {
  std::vector<std::pair<std::string, std::string>> env;
  if (!options_.inherit_runtime_dir) {
    const std::string run = directory_.File("run");
    env.emplace_back("XDG_RUNTIME_DIR", run);
    env.emplace_back("PIPEWIRE_RUNTIME_DIR", run);
    env.emplace_back("DBUS_SESSION_BUS_ADDRESS", "unix:path=" + run + "/bus");
  }
  return env;
}

bool DaemonRig::Start() {
  Process::Options start;
  start.argv = {BinaryPath("kinescoped"), "--socket=" + socket(),
                "--state_dir=" + state_dir()};
  start.argv.insert(start.argv.end(), options_.flags.begin(),
                    options_.flags.end());
  start.env = Environment();
  start.env.emplace_back("NOTIFY_SOCKET", directory_.File("notify"));
  start.env.insert(start.env.end(), options_.env.begin(), options_.env.end());
  start.err = directory_.File("log");
  start.before_exec = options_.before_exec;
  daemon_ = Process(std::move(start));
  pollfd events[] = {{notify_.get(), POLLIN, 0}, {daemon_.pidfd(), POLLIN, 0}};
  char text[256];
  while (::poll(events, 2, Millis(kPatience)) > 0 && events[1].revents == 0) {
    const ssize_t got = ::recv(notify_.get(), text, sizeof text, 0);
    if (got > 0 && absl::string_view(text, static_cast<size_t>(got)) ==
                       absl::string_view("READY=1"))
      return true;
  }
  ADD_FAILURE() << "kinescoped did not come up: " << Log();
  daemon_.Kill();
  return false;
}

int DaemonRig::Stop() {
  daemon_.Signal(SIGTERM);
  const int code = ExitCodeOf(daemon_.Wait());
  char text[256];  // STOPPING=1, or the next start would read it.
  while (::recv(notify_.get(), text, sizeof text, MSG_DONTWAIT) > 0) {
  }
  return code;
}

std::string DaemonRig::VideoPath(const std::string& id) const {
  return absl::StrCat(state_dir(), "/recordings/", id, "/video.mp4");
}

DaemonRig::Answer DaemonRig::Call(const std::string& method,
                                  const std::string& target,
                                  const std::string& body,
                                  const std::string& owner) {
  Client::Options options;
  options.socket_path = socket();
  options.owner = owner;
  Client client(std::move(options));
  ClientRequest request;
  request.method = method;
  request.target = target;
  request.body = body;
  request.repeatable = false;
  request.deadline = kPatience;
  Answer answer;
  absl::StatusOr<ClientReply> reply = client.Call(request);
  EXPECT_TRUE(reply.ok()) << method << " " << target << ": " << reply.status();
  if (!reply.ok()) return answer;
  answer.status = reply->status();
  answer.head = reply->head;
  answer.body = Json(reply->body);
  if (answer.status < 300 && method != "HEAD") Judge(method, target, answer);
  return answer;
}

void DaemonRig::Judge(const std::string& method, const std::string& target,
                      const Answer& answer) {
  if (!document_.has_value()) {
    Client::Options options;
    options.socket_path = socket();
    Client client(std::move(options));
    ClientRequest request;
    request.target = "/v1/openapi.json";
    const absl::StatusOr<ClientReply> reply = client.Call(request);
    // It may be ending.
    if (!reply.ok() || reply->status() != 200) return;
    document_.emplace(reply->body);
  }
  const absl::string_view media_type = answer.head.Field("Content-Type");
  EXPECT_EQ(document_->Complaint(
                method, target, answer.status,
                std::string(media_type.substr(0, media_type.find(';'))),
                answer.body.text()),
            "")
      << method << " " << target << ": " << answer.body.text();
}

Json DaemonRig::State(const std::string& id) {
  Answer answer = Call("GET", "/v1/recordings/" + id);
  EXPECT_EQ(answer.status, 200) << answer.body.text();
  return answer.body;
}

Json DaemonRig::StartRecording(const std::string& id, const std::string& source,
                               const std::string& more) {
  Answer answer =
      Call("POST", "/v1/recordings",
           absl::StrCat("{\"id\":\"", id, "\",\"source\":", source, more, "}"));
  EXPECT_EQ(answer.status, 201) << answer.body.text();
  return answer.body;
}

Json DaemonRig::WaitFor(const std::string& id, const std::string& what) {
  Answer answer =
      Call("GET", absl::StrCat("/v1/recordings/", id, "?wait=", what,
                               "&timeout_ms=", Millis(kPatience) - 1'000));
  EXPECT_EQ(answer.status, 200) << answer.body.text();
  return answer.body;
}

Json DaemonRig::StopRecording(const std::string& id) {
  Answer answer = Call("POST", absl::StrCat("/v1/recordings/", id, "/stop"),
                       "{\"wait_ready\":true}");
  EXPECT_EQ(answer.status, 200) << answer.body.text();
  return answer.body;
}

std::string DaemonRig::Fetch(const std::string& id) {
  const std::string path = directory_.File(id + ".mp4");
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  Client::Options options;
  options.socket_path = socket();
  Client client(std::move(options));
  ClientRequest request;
  request.target = absl::StrCat("/v1/recordings/", id, "/artifact");
  const auto reply = client.Stream(request, [&file](absl::string_view bytes) {
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return absl::OkStatus();
  });
  EXPECT_TRUE(reply.ok() && reply->status() == 200)
      << (reply.ok() ? reply->body : std::string(reply.status().message()));
  return path;
}

void DaemonRig::Elapse(absl::Duration duration) {
  pollfd ended{daemon_.pidfd(), POLLIN, 0};
  EXPECT_EQ(::poll(&ended, 1, Millis(duration)), 0) << "kinescoped ended";
}

Json DaemonRig::WaitUntil(const std::string& id,
                          absl::FunctionRef<bool(const Json&)> wanted) {
  const UniqueFd inotify(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  ::inotify_add_watch(inotify.get(), VideoPath(id).c_str(), IN_MODIFY);
  const absl::Time deadline = absl::Now() + kPatience;
  for (;;) {
    Json state = State(id);
    if (wanted(state)) return state;
    if (absl::Now() > deadline || !state.valid()) {
      ADD_FAILURE() << "gave up waiting: " << state.text();
      return state;
    }
    // Counters come with the recorder's heartbeat, a little after the write.
    pollfd ready{inotify.get(), POLLIN, 0};
    ::poll(&ready, 1, 100);
    char bytes[4096];
    while (::read(inotify.get(), bytes, sizeof bytes) > 0) {
    }
  }
}

Json DaemonRig::WaitDurable(const std::string& id, absl::Duration media) {
  return WaitUntil(id, [media](const Json& state) {
    return state.Int("durable_until_us") >= absl::ToInt64Microseconds(media);
  });
}

pid_t DaemonRig::RecorderOf(const std::string& id) const {
  const std::string directory = absl::StrCat(state_dir(), "/recordings/", id);
  const std::string recorder =
      std::filesystem::canonical(BinaryPath("kinescope-recorder"));
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator("/proc", error)) {
    pid_t pid = -1;
    if (!absl::SimpleAtoi(entry.path().filename().string(), &pid)) continue;
    if (std::filesystem::read_symlink(entry.path() / "exe", error) ==
            recorder &&
        HoldsOpen(entry.path(), directory))
      return pid;
  }
  return -1;
}

ProgramResult Kinectl(DaemonRig& rig, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(),
                   {BinaryPath("kinectl"), "--socket=" + rig.socket()});
  return RunProgram(std::move(arguments), rig.Environment());
}

std::string TestSource(int width, int height, double fps,
                       const std::string& pattern) {
  return absl::StrCat("{\"test\":{\"width\":", width, ",\"height\":", height,
                      ",\"fps\":", fps, ",\"pattern\":\"", pattern, "\"}}");
}

}  // namespace kine
