// Spawner: starts children on a thread of its own. ChildProcess: one of them,
// until it has been reaped.
//
// Why a thread: posix_spawn waits until the child has called execve, which
// takes 20 ms when the machine is busy; the control loop must not wait so long.
//
// Control loop only, except for what runs on the spawn thread inside.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "daemon/base/fd.h"
#include "daemon/base/loop.h"
#include "daemon/programs/start_program.h"

namespace kine {

// Destroying it before the exit kills the child (SIGKILL) once `grace` has
// passed; it is reaped on the spawn thread then.
class ChildProcess {
 public:
  // Called once, on the loop, when the child has ended and was reaped; never
  // inside a call.
  using OnExit = absl::AnyInvocable<void(ExitStatus exit)>;

  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  // None, unless set.
  void set_grace(absl::Duration grace) { grace_ = grace; }
  void set_on_exit(OnExit on_exit);
  pid_t pid() const { return pid_; }
  // Readable once it has ended; -1 after it was reaped.
  int pidfd() const { return pidfd_.get(); }
  // Through the pidfd: never hits a process that got the same number later.
  void Kill(int signal);

 private:
  friend class Spawner;
  ChildProcess(Loop& loop, Loop& reaper, pid_t pid, UniqueFd pidfd);
  void OnPidfd();
  void TellExit();

  Loop& loop_;
  Loop& reaper_;
  const pid_t pid_;
  UniqueFd pidfd_;
  OnExit on_exit_;
  std::optional<ExitStatus> exit_;
  absl::Duration grace_ = absl::ZeroDuration();
  LoopHandle watch_;
  LoopHandle tell_;
};

class Spawner {
 public:
  using Command = ProgramCommand;
  using Done =
      absl::AnyInvocable<void(absl::StatusOr<std::unique_ptr<ChildProcess>>)>;

  // Both loops outlive the spawner; `spawn_loop` runs on another thread.
  Spawner(Loop& loop, Loop& spawn_loop)
      : loop_(loop), spawn_loop_(spawn_loop) {}

  // StartProgram(), elsewhere. `done` runs on `loop`, never inside the call.
  void Spawn(Command command, Done done);

  // Runs `work` on the spawn thread, then `done` on the loop.
  void Run(absl::AnyInvocable<void()> work, absl::AnyInvocable<void()> done);

 private:
  Loop& loop_;
  Loop& spawn_loop_;
};

}  // namespace kine
