// IdleWatch: tells once when nothing has happened for so long.
//
// One loop, which outlives it; times are of its clock. What happens often costs
// nothing but a store: the timer looks when it fires.
#pragma once

#include <algorithm>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "daemon/base/loop.h"

namespace kine {

class IdleWatch {
 public:
  // Counts from now on. `after` is above 0. Destroying it is silence.
  IdleWatch(Loop& loop, absl::Duration after,
            absl::AnyInvocable<void()> on_idle);

  // Something has happened, now or a while ago.
  void Note() { NoteAt(loop_.clock().Now()); }
  void NoteAt(MonoTime when) { last_ = std::max(last_, when); }

 private:
  void Arm();

  Loop& loop_;
  const absl::Duration after_;
  absl::AnyInvocable<void()> on_idle_;
  MonoTime last_;
  LoopHandle timer_;
};

}  // namespace kine
