#include "daemon/programs/start_program.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/status.h"

namespace kine {
namespace {

constexpr int kFirstPassedFd = 3;

// What sd_notify(3) and friends gave to this process and to no child.
bool IsOurs(absl::string_view variable) {
  for (absl::string_view name :
       {"NOTIFY_SOCKET=", "LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES=",
        "WATCHDOG_PID=", "WATCHDOG_USEC=", "INVOCATION_ID="})
    if (absl::StartsWith(variable, name)) return true;
  return false;
}

std::vector<char*> Environment() {
  std::vector<char*> out;
  for (char** variable = environ; *variable != nullptr; ++variable)
    if (!IsOurs(*variable)) out.push_back(*variable);
  out.push_back(nullptr);
  return out;
}

// posix_spawn's two option objects, released together.
struct SpawnOptions {
  SpawnOptions() {
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
  }
  ~SpawnOptions() {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  }
  SpawnOptions(const SpawnOptions&) = delete;
  SpawnOptions& operator=(const SpawnOptions&) = delete;

  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
};

void SetAttributes(posix_spawnattr_t& attributes, bool own_session) {
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  // Its own group: a Ctrl-C at the daemon's terminal is the daemon's to answer.
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(
      &attributes,
      POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
          (own_session ? POSIX_SPAWN_SETSID : POSIX_SPAWN_SETPGROUP));
}

// Source numbers must not be somebody's target: all of them above `lowest`.
absl::Status DupTo(posix_spawn_file_actions_t& actions, const UniqueFd& fd,
                   int target, int lowest, std::vector<UniqueFd>& high) {
  high.emplace_back(::fcntl(fd.get(), F_DUPFD_CLOEXEC, lowest));
  if (!high.back().valid()) return ErrnoStatus(errno, "fcntl(F_DUPFD)");
  posix_spawn_file_actions_adddup2(&actions, high.back().get(), target);
  return absl::OkStatus();
}

absl::Status SetFds(const ProgramCommand& command,
                    posix_spawn_file_actions_t& actions,
                    std::vector<UniqueFd>& high) {
  const int lowest = kFirstPassedFd + static_cast<int>(command.fds.size());
  if (command.standard_input.valid()) {
    KINE_RETURN_IF_ERROR(
        DupTo(actions, command.standard_input, STDIN_FILENO, lowest, high));
  } else {
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null",
                                     O_RDONLY, 0);
  }
  if (command.standard_output.valid()) {
    KINE_RETURN_IF_ERROR(
        DupTo(actions, command.standard_output, STDOUT_FILENO, lowest, high));
  } else {
    posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
  }
  if (command.standard_error.valid())
    KINE_RETURN_IF_ERROR(
        DupTo(actions, command.standard_error, STDERR_FILENO, lowest, high));
  for (size_t i = 0; i < command.fds.size(); ++i)
    KINE_RETURN_IF_ERROR(DupTo(actions, command.fds[i],
                               kFirstPassedFd + static_cast<int>(i), lowest,
                               high));
  // What whoever started this daemon left open is no business of the child's.
  posix_spawn_file_actions_addclosefrom_np(&actions, lowest);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<StartedProgram> StartProgram(ProgramCommand command) {
  if (command.prepare) KINE_RETURN_IF_ERROR(command.prepare(command));
  SpawnOptions options;
  SetAttributes(options.attributes, command.own_session);
  std::vector<UniqueFd> high;
  KINE_RETURN_IF_ERROR(SetFds(command, options.actions, high));
  std::vector<char*> argv;
  for (std::string& argument : command.argv) argv.push_back(argument.data());
  argv.push_back(nullptr);
  std::vector<char*> environment =
      command.empty_environment ? std::vector<char*>{nullptr} : Environment();
  pid_t pid = -1;
  const int error =
      ::posix_spawn(&pid, command.path.c_str(), &options.actions,
                    &options.attributes, argv.data(), environment.data());
  if (error != 0)
    return ErrnoStatus(error, absl::StrCat("cannot start ", command.path));
  // Race-free: only we can reap it.
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd.valid()) {
    const absl::Status status = ErrnoStatus(errno, "pidfd_open");
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return status;
  }
  if (command.started) command.started(pid);
  return StartedProgram{pid, std::move(pidfd)};
}

void SignalProgram(const UniqueFd& pidfd, int signal) {
  // Fails only when it has ended already, which the pidfd tells.
  (void)::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0);
}

std::optional<ExitStatus> TakeExit(const UniqueFd& pidfd) {
  siginfo_t info{};
  rusage usage{};
  // The system call itself: glibc hides its rusage.
  if (::syscall(SYS_waitid, P_PIDFD, pidfd.get(), &info, WEXITED | WNOHANG,
                &usage) != 0 ||
      info.si_pid == 0)
    return std::nullopt;
  return ExitStatus{info.si_code != CLD_EXITED, info.si_status,
                    info.si_code == CLD_DUMPED, usage};
}

std::string ExitText(const ExitStatus& exit) {
  if (!exit.signaled) return absl::StrCat("exit status ", exit.code);
  return absl::StrCat("signal ", exit.code, " (", strsignal(exit.code), ")");
}

}  // namespace kine
