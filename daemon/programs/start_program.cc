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
#include "daemon/programs/vfork_into.h"

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

// What becomes the child's descriptors 0, 1, 2, 3, ...: numbers above all of
// those, for none may be somebody's target.
absl::StatusOr<std::vector<UniqueFd>> Sources(const ProgramCommand& command) {
  const int count = kFirstPassedFd + static_cast<int>(command.fds.size());
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  std::vector<UniqueFd> sources;
  const auto add = [&](int fd) {
    sources.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, count));
    return sources.back().valid();
  };
  const auto or_else = [](const UniqueFd& fd, int other) {
    return fd.valid() ? fd.get() : other;
  };
  const int our_error =
      ::fcntl(STDERR_FILENO, F_GETFD) >= 0 ? STDERR_FILENO : null.get();
  bool added = add(or_else(command.standard_input, null.get())) &&
               add(or_else(command.standard_output, our_error)) &&
               add(or_else(command.standard_error, our_error));
  for (const UniqueFd& fd : command.fds) added = added && add(fd.get());
  if (!added) return ErrnoStatus(errno, "fcntl(F_DUPFD)");
  return sources;
}

absl::StatusOr<StartedProgram> Spawn(const ProgramCommand& command,
                                     const std::vector<UniqueFd>& sources,
                                     char* const* argv,
                                     char* const* environment) {
  SpawnOptions options;
  SetAttributes(options.attributes, command.own_session);
  int count = 0;
  for (const UniqueFd& fd : sources)
    posix_spawn_file_actions_adddup2(&options.actions, fd.get(), count++);
  // What whoever started this daemon left open is no business of the child's.
  posix_spawn_file_actions_addclosefrom_np(&options.actions, count);
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, command.path.c_str(), &options.actions,
                                  &options.attributes, argv, environment);
  if (error != 0) return ErrnoStatus(error, "posix_spawn");
  // Race-free: only we can reap it.
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd.valid()) {
    const absl::Status status = ErrnoStatus(errno, "pidfd_open");
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return status;
  }
  return StartedProgram{pid, std::move(pidfd)};
}

absl::StatusOr<StartedProgram> SpawnInto(const ProgramCommand& command,
                                         const std::vector<UniqueFd>& sources,
                                         char* const* argv,
                                         char* const* environment) {
  std::vector<int> numbers;
  numbers.reserve(sources.size());
  for (const UniqueFd& fd : sources) numbers.push_back(fd.get());
  KINE_ASSIGN_OR_RETURN(
      VforkChild child,
      VforkInto({command.cgroup.get(), numbers.data(),
                 static_cast<int>(numbers.size()), command.own_session,
                 command.path.c_str(), argv, environment}));
  return StartedProgram{child.pid, std::move(child.pidfd)};
}

}  // namespace

absl::StatusOr<StartedProgram> StartProgram(ProgramCommand command) {
  if (command.prepare) KINE_RETURN_IF_ERROR(command.prepare(command));
  KINE_ASSIGN_OR_RETURN(const std::vector<UniqueFd> sources, Sources(command));
  std::vector<char*> argv;
  for (std::string& argument : command.argv) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const std::vector<char*> environment =
      command.empty_environment ? std::vector<char*>{nullptr} : Environment();
  absl::StatusOr<StartedProgram> started =
      (command.cgroup.valid() ? SpawnInto : Spawn)(
          command, sources, argv.data(), environment.data());
  if (!started.ok())
    return WithContext(absl::StrCat("cannot start ", command.path),
                       started.status());
  if (command.started) command.started(started->pid);
  return started;
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
