// ImpatientLoop: a real loop whose long timers a test can let fire now, for
// deadlines of seconds against real processes.
//
// Thread: the inner loop's.
#pragma once

#include <cstdint>
#include <map>
#include <utility>

#include "daemon/base/epoll_loop.h"

namespace kine {

class ImpatientLoop final : public Loop {
 public:
  explicit ImpatientLoop(EpollLoop& inner) : inner_(inner) {}

  // Runs the timer that was set for exactly `delay`. False when there is none.
  bool Expire(absl::Duration delay) {
    for (auto it = timers_.begin(); it != timers_.end(); ++it) {
      if (it->second.delay != delay) continue;
      inner_.Cancel(it->second.inner_id);
      Fire(it->first);
      return true;
    }
    return false;
  }

  void Post(Task task) override { inner_.Post(std::move(task)); }
  Id PostAfter(absl::Duration delay, Task task) override {
    const Id id = kTimerBit | next_++;
    const Id inner_id = inner_.PostAfter(delay, [this, id] { Fire(id); });
    timers_.emplace(id, Timer{delay, inner_id, std::move(task)});
    return id;
  }
  Id Watch(int fd, uint32_t events, FdTask task) override {
    return inner_.Watch(fd, events, std::move(task));
  }
  void Cancel(Id id) override {
    if ((id & kTimerBit) == 0) return inner_.Cancel(id);
    const auto it = timers_.find(id);
    if (it == timers_.end()) return;
    inner_.Cancel(it->second.inner_id);
    timers_.erase(it);
  }
  bool IsCurrent() const override { return inner_.IsCurrent(); }
  const Clock& clock() const override { return inner_.clock(); }

 private:
  static constexpr Id kTimerBit = Id{1} << 63;
  struct Timer {
    absl::Duration delay;
    Id inner_id;
    Task task;
  };

  void Fire(Id id) {
    const auto it = timers_.find(id);
    Task task = std::move(it->second.task);
    timers_.erase(it);
    task();
  }

  EpollLoop& inner_;
  Id next_ = 1;
  std::map<Id, Timer> timers_;
};

}  // namespace kine
