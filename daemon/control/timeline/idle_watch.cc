#include "daemon/control/timeline/idle_watch.h"

#include <utility>

namespace kine {

IdleWatch::IdleWatch(Loop& loop, absl::Duration after,
                     absl::AnyInvocable<void()> on_idle)
    : loop_(loop),
      after_(after),
      on_idle_(std::move(on_idle)),
      last_(loop.clock().Now()) {
  Arm();
}

void IdleWatch::Arm() {
  const absl::Duration left = last_ + after_ - loop_.clock().Now();
  timer_ = LoopHandle(loop_, loop_.PostAfter(left, [this] {
    if (loop_.clock().Now() - last_ < after_) return Arm();
    // The call may destroy this.
    auto on_idle = std::move(on_idle_);
    on_idle();
  }));
}

}  // namespace kine
