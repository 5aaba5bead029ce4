#include "daemon/programs/run_to_end.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/clock.h"
#include "daemon/base/status.h"

namespace kine {
namespace {

constexpr size_t kErrorBytesMax = 16u << 10;
constexpr absl::Duration kUntilKilled = absl::Seconds(1);

struct Pipe {
  UniqueFd ours;
  UniqueFd theirs;
};

absl::StatusOr<Pipe> MakePipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe2");
  Pipe pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
  // Only our end: the child's must block like any standard output.
  if (::fcntl(pipe.ours.get(), F_SETFL, O_NONBLOCK) != 0)
    return ErrnoStatus(errno, "fcntl(O_NONBLOCK)");
  return pipe;
}

// All that is there now; above `max` it is read and dropped.
void Drain(UniqueFd& pipe, std::string& text, size_t max) {
  char buffer[16u << 10];
  while (pipe.valid()) {
    const ssize_t count = ::read(pipe.get(), buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) {
      pipe.Reset();
      return;
    }
    text.append(buffer,
                std::min(static_cast<size_t>(count), max - text.size()));
  }
}

// One poll() of at most `wait`; the time that passes is the caller's to see.
void PollOnce(pollfd* fds, nfds_t count, absl::Duration wait) {
  const int64_t ms = absl::ToInt64Milliseconds(
      std::max(wait, absl::ZeroDuration()) + absl::Microseconds(999));
  (void)::poll(fds, count, static_cast<int>(std::min<int64_t>(ms, 60'000)));
}

void KillAndReap(const UniqueFd& pidfd) {
  SignalProgram(pidfd, SIGKILL);
  const MonoTime until = SystemClock().Now() + kUntilKilled;
  while (!TakeExit(pidfd).has_value()) {
    const absl::Duration left = until - SystemClock().Now();
    if (left <= absl::ZeroDuration()) return;
    pollfd ended{pidfd.get(), POLLIN, 0};
    PollOnce(&ended, 1, left);
  }
}

}  // namespace

absl::StatusOr<RunResult> RunToEnd(ProgramCommand command,
                                   const RunLimits& limits) {
  KINE_ASSIGN_OR_RETURN(Pipe output, MakePipe());
  KINE_ASSIGN_OR_RETURN(Pipe errors, MakePipe());
  command.standard_output = std::move(output.theirs);
  command.standard_error = std::move(errors.theirs);
  KINE_ASSIGN_OR_RETURN(const StartedProgram program,
                        StartProgram(std::move(command)));
  const MonoTime until = SystemClock().Now() + limits.deadline;
  RunResult result;
  while (true) {
    // Before the drain: what it wrote last is in the pipes by then. One that
    // left children behind with its pipes is over all the same.
    const std::optional<ExitStatus> exit = TakeExit(program.pidfd);
    // One byte more than allowed shows that there is more.
    Drain(output.ours, result.output, limits.output_bytes + 1);
    Drain(errors.ours, result.errors, kErrorBytesMax);
    if (result.output.size() > limits.output_bytes) {
      if (!exit.has_value()) KillAndReap(program.pidfd);
      return absl::ResourceExhaustedError(
          absl::StrCat("printed more than ", limits.output_bytes, " bytes"));
    }
    if (exit.has_value()) {
      result.exit = *exit;
      return result;
    }
    const absl::Duration left = until - SystemClock().Now();
    if (left <= absl::ZeroDuration()) {
      KillAndReap(program.pidfd);
      Drain(output.ours, result.output, limits.output_bytes);
      result.hung = true;
      return result;
    }
    pollfd fds[] = {{program.pidfd.get(), POLLIN, 0},
                    {limits.cancel_fd, POLLIN, 0},
                    {output.ours.get(), POLLIN, 0},
                    {errors.ours.get(), POLLIN, 0}};
    PollOnce(fds, 4, left);
    if (fds[1].revents != 0) {
      KillAndReap(program.pidfd);
      return absl::CancelledError("cancelled");
    }
  }
}

}  // namespace kine
