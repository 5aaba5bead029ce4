// StartProgram: one child process, with nothing of ours but what it is given.
//
// Any thread; blocks until the child has called execve (20 ms on a busy
// machine). The caller reaps it.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "daemon/base/fd.h"

namespace kine {

struct ProgramCommand {
  std::string path;
  std::vector<std::string> argv;  // argv[0] included.
  // Become descriptors 3, 4, ... of the child. It has no others but these and
  // 0, 1 and 2.
  std::vector<UniqueFd> fds;
  UniqueFd standard_input;   // Invalid: /dev/null.
  UniqueFd standard_output;  // Invalid: our own standard error.
  UniqueFd standard_error;   // Invalid: our own.
  // A session of its own, not only a process group.
  bool own_session = false;
  // Instead of this process' environment: none at all.
  bool empty_environment = false;
  // The directory of a version 2 cgroup that the child begins in; only where
  // CanVforkInto(). Invalid: in this process' own.
  UniqueFd cgroup;
  // What blocks and must come first: run by StartProgram, may complete the
  // command. An error is that of the start.
  absl::AnyInvocable<absl::Status(ProgramCommand&)> prepare;
  // Told the pid before anybody else hears of it.
  absl::AnyInvocable<void(pid_t)> started;
};

struct StartedProgram {
  pid_t pid = -1;
  UniqueFd pidfd;  // Readable when it has ended.
};

// In a process group of its own, with default signals, an empty mask and this
// process' environment less what the service manager meant for us alone. Errors
// name the program.
absl::StatusOr<StartedProgram> StartProgram(ProgramCommand command);

// Through the pidfd: never hits a process that got the same number later.
void SignalProgram(const UniqueFd& pidfd, int signal);

// How a child ended.
struct ExitStatus {
  bool signaled = false;
  int code = 0;  // Exit code, or the signal's number.
  bool core_dumped = false;
  rusage usage{};  // Its own and that of the children it has waited for.
};
// Reaps it once it has ended; nullopt before (and after a signal, EINTR).
std::optional<ExitStatus> TakeExit(const UniqueFd& pidfd);
// "exit status 3", "signal 9 (Killed)".
std::string ExitText(const ExitStatus& exit);

}  // namespace kine
