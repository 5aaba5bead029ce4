#include "tests/recorder/real_recorder.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "daemon/base/check.h"
#include "daemon/base/limits.h"

extern char** environ;

namespace kine {
namespace {

constexpr int kPatienceMs = 20'000;  // Against hangs only.

pid_t Spawn(const std::vector<std::string>& argv, int fd3, int out) {
  std::vector<char*> args;
  for (const std::string& arg : argv)
    args.push_back(const_cast<char*>(arg.c_str()));
  args.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  // dup2 onto itself clears close-on-exec, too.
  if (fd3 >= 0) posix_spawn_file_actions_adddup2(&actions, fd3, 3);
  if (out >= 0) posix_spawn_file_actions_adddup2(&actions, out, 1);
  pid_t pid = -1;
  const int error =
      ::posix_spawnp(&pid, args[0], &actions, nullptr, args.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  return error == 0 ? pid : -1;
}

}  // namespace

std::string RecorderPath() {
  const char* dir = std::getenv("KINE_BIN_DIR");
  if (dir != nullptr) return std::string(dir) + "/kinescope-recorder";
  char self[PATH_MAX] = {};
  KINE_CHECK(::readlink("/proc/self/exe", self, sizeof self - 1) > 0);
  return std::filesystem::path(self).parent_path().parent_path() / "bin" /
         "kinescope-recorder";
}

TestDirectory::TestDirectory() {
  const char* root = std::getenv("TMPDIR");
  path_ = std::string(root == nullptr ? "/tmp" : root) + "/kine-rec-XXXXXX";
  KINE_CHECK(::mkdtemp(path_.data()) != nullptr);
}

TestDirectory::~TestDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

UniqueFd TestDirectory::Open() const {
  UniqueFd fd(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  KINE_CHECK(fd.valid());
  return fd;
}

RealRecorder::RealRecorder(std::vector<std::string> flags) {
  int pair[2];
  KINE_CHECK(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) ==
             0);
  link_ = UniqueFd(pair[0]);
  const UniqueFd theirs(pair[1]);
  flags.insert(flags.begin(), RecorderPath());
  pid_ = Spawn(flags, theirs.get(), -1);
}

RealRecorder::~RealRecorder() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void RealRecorder::Send(const link::ToRecorder& message, UniqueFd fd) {
  SendText(link::ToJson(message), std::move(fd));
}

void RealRecorder::SendText(std::string text, UniqueFd fd) {
  iovec part{text.data(), text.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  if (fd.valid()) {
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    cmsghdr* c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    const int number = fd.get();
    std::memcpy(CMSG_DATA(c), &number, sizeof number);
  }
  KINE_CHECK(::sendmsg(link_.get(), &header, MSG_NOSIGNAL) ==
             static_cast<ssize_t>(text.size()));
}

std::optional<link::ToDaemon> RealRecorder::Next() {
  pollfd ready{link_.get(), POLLIN, 0};
  if (::poll(&ready, 1, kPatienceMs) <= 0) return std::nullopt;
  std::string text(limits::kLinkMessageBytesMax, '\0');
  const ssize_t got = ::recv(link_.get(), text.data(), text.size(), 0);
  if (got <= 0) return std::nullopt;
  text.resize(static_cast<size_t>(got));
  absl::StatusOr<link::ToDaemon> message = link::ParseToDaemon(text);
  if (!message.ok()) return std::nullopt;
  return *std::move(message);
}

void RealRecorder::Signal(int signal) { KINE_CHECK(::kill(pid_, signal) == 0); }

int RealRecorder::Join(absl::Duration deadline) {
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  pollfd exited{pidfd.get(), POLLIN, 0};
  const bool in_time =
      ::poll(&exited, 1,
             static_cast<int>(absl::ToInt64Milliseconds(deadline))) == 1;
  if (!in_time) ::kill(pid_, SIGKILL);
  int status = 0;
  KINE_CHECK(::waitpid(pid_, &status, 0) == pid_);
  pid_ = -1;
  return in_time ? status : -1;
}

absl::Duration RealRecorder::CpuTime() const {
  std::ifstream file("/proc/" + std::to_string(pid_) + "/stat");
  std::string text((std::istreambuf_iterator<char>(file)), {});
  long user = 0;
  long system = 0;
  const size_t name_end = text.rfind(')');
  KINE_CHECK(name_end != std::string::npos);
  KINE_CHECK(std::sscanf(text.c_str() + name_end + 2,
                         "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld",
                         &user, &system) == 2);
  return absl::Seconds(1) * (user + system) / ::sysconf(_SC_CLK_TCK);
}

Output RunProgram(const std::vector<std::string>& argv, int fd3) {
  int out[2];
  KINE_CHECK(::pipe2(out, O_CLOEXEC) == 0);
  UniqueFd read_end(out[0]);
  UniqueFd write_end(out[1]);
  const pid_t pid = Spawn(argv, fd3, write_end.get());
  write_end.Reset();
  Output output;
  if (pid < 0) return output;
  char buffer[4096];
  ssize_t got = 0;
  while ((got = ::read(read_end.get(), buffer, sizeof buffer)) > 0)
    output.text.append(buffer, static_cast<size_t>(got));
  KINE_CHECK(::waitpid(pid, &output.status, 0) == pid);
  return output;
}

}  // namespace kine
