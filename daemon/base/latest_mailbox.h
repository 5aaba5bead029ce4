// Newest-wins handover of values from one thread to another: the place where
// frames are lost when the encoder is slower than the source, and counted.
//
// Put() on the producer's thread, Take() on the consumer's. A value that is
// replaced is given to `merge` (producer's thread) so that what it said, its
// damage above all, is not lost with it.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "daemon/base/mutex.h"

namespace kine {

template <typename T>
class LatestMailbox {
 public:
  // Returns true when the box was empty: the consumer must be woken.
  // `merge(T&& older, T& newer)` is called when `value` replaces another.
  template <typename Merge>
  bool Put(T value, Merge merge) {
    std::optional<T> older;
    {
      MutexLock lock(mutex_);
      older.swap(value_);
      if (!older.has_value()) {
        value_.emplace(std::move(value));
        return true;
      }
      ++lost_;
      merge(std::move(*older), value);
      value_.emplace(std::move(value));
    }
    return false;  // `older` is destroyed outside the lock.
  }

  std::optional<T> Take() {
    MutexLock lock(mutex_);
    return std::exchange(value_, std::nullopt);
  }

  // Values replaced before they were taken, since construction.
  uint64_t lost() const {
    MutexLock lock(mutex_);
    return lost_;
  }

 private:
  mutable Mutex mutex_;
  std::optional<T> value_ ABSL_GUARDED_BY(mutex_);
  uint64_t lost_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace kine
