// One run of the recorder's executable in a one-shot mode (--finalise,
// --list_sources, --describe): its standard output is the answer.
//
// Control loop only. Destroying it kills the process and drops the callback.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "daemon/base/fd.h"
#include "daemon/base/loop.h"
#include "daemon/process/child_process.h"

namespace kine {

class OneShot {
 public:
  // What it printed, also when it then ended with status 1: its own account of
  // why it cannot. Or how it failed: DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED
  // (more than limits::kOneShotBytesMax), UNAVAILABLE (how it ended).
  using Done = absl::AnyInvocable<void(absl::StatusOr<std::string> output)>;

  // `fds` become descriptors 3, 4, ... `done` is called once, on the loop,
  // never inside the constructor; it may destroy this.
  OneShot(Loop& loop, Spawner& spawner, std::vector<std::string> argv,
          std::vector<UniqueFd> fds, absl::Duration deadline, Done done);
  ~OneShot();
  OneShot(const OneShot&) = delete;
  OneShot& operator=(const OneShot&) = delete;

 private:
  void OnSpawned(absl::StatusOr<std::unique_ptr<ChildProcess>> child);
  void OnReadable();
  void MaybeDone();
  absl::StatusOr<std::string> TakeResult();
  void Fail(absl::Status status);

  Loop& loop_;
  Done done_;
  std::shared_ptr<OneShot*> self_;
  UniqueFd output_;
  std::string text_;
  absl::Status status_;
  std::unique_ptr<ChildProcess> child_;
  bool exited_ = false;
  ExitStatus exit_;
  LoopHandle deadline_;
  LoopHandle watch_;
  LoopHandle finish_;
};

}  // namespace kine
