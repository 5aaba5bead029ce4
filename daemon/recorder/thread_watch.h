// ThreadWatch: notices that a loop's thread does not answer any more.
//
// In beats, not in time: a process that was stopped for a while has nothing to
// blame the thread for. The loop must outlive the watch's last beat.
#pragma once

#include <atomic>
#include <memory>

#include "daemon/base/loop.h"

namespace kine {

class ThreadWatch {
 public:
  explicit ThreadWatch(Loop& watched) : watched_(watched) {}

  // Call at a steady pace, on another thread. How many beats it has not
  // answered for: 0 is well.
  int Beat();

 private:
  Loop& watched_;
  // The watched thread may set it when this is gone.
  std::shared_ptr<std::atomic<bool>> answered_ =
      std::make_shared<std::atomic<bool>>(true);
  int silent_beats_ = 0;
};

}  // namespace kine
