#include "tests/fakes/private_pipewire.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/base/fd.h"
#include "daemon/base/status.h"

namespace kine {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(20);

std::string FindProgram(const std::string& name) {
  if (name.find('/') != std::string::npos)
    return access(name.c_str(), X_OK) == 0 ? name : "";
  const char* path = std::getenv("PATH");
  std::string rest = path != nullptr ? path : "/usr/bin:/bin";
  while (!rest.empty()) {
    const size_t colon = rest.find(':');
    const std::string candidate =
        absl::StrCat(rest.substr(0, colon), "/", name);
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
    rest = colon == std::string::npos ? "" : rest.substr(colon + 1);
  }
  return "";
}

bool Connects(const std::string& path) {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return connect(fd.get(), reinterpret_cast<sockaddr*>(&address),
                 sizeof address) == 0;
}

// Waits on inotify for the file, then (bind and listen are two steps) briefly
// on the clock for somebody to answer.
absl::Status WaitForSocket(const std::string& directory,
                           const std::string& name) {
  const std::string path = absl::StrCat(directory, "/", name);
  UniqueFd inotify(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  inotify_add_watch(inotify.get(), directory.c_str(), IN_CREATE | IN_MOVED_TO);
  const absl::Time deadline = absl::Now() + kPatience;
  while (!Connects(path)) {
    if (absl::Now() > deadline)
      return absl::DeadlineExceededError(absl::StrCat("no socket ", path));
    pollfd ready{inotify.get(), POLLIN, 0};
    poll(&ready, 1, access(path.c_str(), F_OK) == 0 ? 1 : 1'000);
    char bytes[4096];
    while (read(inotify.get(), bytes, sizeof bytes) > 0) {
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<LoggedProcess> LoggedProcess::Start(
    std::vector<std::string> argv, const std::string& log) {
  const std::string program = FindProgram(argv[0]);
  if (program.empty())
    return absl::NotFoundError(absl::StrCat("no program ", argv[0]));
  UniqueFd output(
      open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  std::vector<char*> pointers;
  for (std::string& arg : argv) pointers.push_back(arg.data());
  pointers.push_back(nullptr);
  const pid_t parent = getpid();
  // posix_spawn cannot ask for a death signal. Only system calls in between.
  const pid_t pid = fork();
  if (pid < 0) return ErrnoStatus(errno, "fork");
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    dup2(output.get(), 1);
    dup2(output.get(), 2);
    execv(program.c_str(), pointers.data());
    _exit(127);
  }
  return LoggedProcess(pid);
}

LoggedProcess& LoggedProcess::operator=(LoggedProcess&& other) noexcept {
  if (this != &other) {
    Kill(SIGKILL);
    pid_ = std::exchange(other.pid_, -1);
  }
  return *this;
}

void LoggedProcess::Kill(int signal) {
  if (pid_ < 0) return;
  kill(pid_, signal);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

PrivatePipeWire::PrivatePipeWire(std::string directory)
    : directory_(std::move(directory)) {
  SetVariable("XDG_RUNTIME_DIR", directory_);
  SetVariable("PIPEWIRE_RUNTIME_DIR", directory_);
  SetVariable("XDG_CONFIG_HOME", directory_ + "/config");
  SetVariable("XDG_STATE_HOME", directory_ + "/state");
  SetVariable("XDG_CACHE_HOME", directory_ + "/cache");
  // Without a bus of its own nothing here may reach the user's.
  SetVariable("DBUS_SESSION_BUS_ADDRESS",
              absl::StrCat("unix:path=", directory_, "/bus"));
}

PrivatePipeWire::~PrivatePipeWire() {
  session_manager_.reset();
  server_.reset();
  bus_.reset();
  for (const auto& [name, value] : saved_) {
    if (value)
      setenv(name.c_str(), value->c_str(), 1);
    else
      unsetenv(name.c_str());
  }
  if (std::getenv("KINE_TEST_KEEP") != nullptr) return;
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

void PrivatePipeWire::SetVariable(const char* name, const std::string& value) {
  const char* old = std::getenv(name);
  saved_.emplace_back(
      name, old != nullptr ? std::optional<std::string>(old) : std::nullopt);
  setenv(name, value.c_str(), 1);
}

absl::StatusOr<std::unique_ptr<PrivatePipeWire>> PrivatePipeWire::Start(
    bool with_session_manager) {
  std::string pattern =
      (std::filesystem::temp_directory_path() / "kine-pw.XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) return ErrnoStatus(errno, "mkdtemp");
  auto self = std::unique_ptr<PrivatePipeWire>(new PrivatePipeWire(pattern));
  KINE_RETURN_IF_ERROR(self->StartServer());
  if (with_session_manager) KINE_RETURN_IF_ERROR(self->StartSessionManager());
  return self;
}

absl::Status PrivatePipeWire::StartServer() {
  KINE_ASSIGN_OR_RETURN(
      LoggedProcess server,
      LoggedProcess::Start({"pipewire"}, directory_ + "/pipewire.log"));
  server_ = std::move(server);
  return WaitForSocket(directory_, "pipewire-0");
}

absl::Status PrivatePipeWire::StartSessionManager() {
  KINE_ASSIGN_OR_RETURN(
      LoggedProcess bus,
      LoggedProcess::Start(
          {"dbus-daemon", "--session", "--nofork", "--nopidfile",
           absl::StrCat("--address=unix:path=", directory_, "/bus")},
          directory_ + "/bus.log"));
  bus_ = std::move(bus);
  KINE_RETURN_IF_ERROR(WaitForSocket(directory_, "bus"));
  KINE_ASSIGN_OR_RETURN(
      LoggedProcess manager,
      LoggedProcess::Start({"wireplumber"}, directory_ + "/wireplumber.log"));
  session_manager_ = std::move(manager);
  return absl::OkStatus();
}

void PrivatePipeWire::KillServer(int signal) {
  if (server_) server_->Kill(signal);
  server_.reset();
}

absl::StatusOr<LoggedProcess> PrivatePipeWire::Run(
    std::vector<std::string> argv) {
  const std::string log = absl::StrCat(directory_, "/", logs_++, ".log");
  return LoggedProcess::Start(std::move(argv), log);
}

}  // namespace kine
