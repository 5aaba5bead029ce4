#include "daemon/recorder/thread_watch.h"

namespace kine {

int ThreadWatch::Beat() {
  if (!answered_->exchange(false)) return ++silent_beats_;
  silent_beats_ = 0;
  watched_.Post([answered = answered_] { answered->store(true); });
  return 0;
}

}  // namespace kine
