// The real Loop: epoll, one heap of timers, one eventfd for posts.
//
// Construct anywhere, Run() on the thread that owns it; that thread is
// "current" from then on (before Run(), the constructing thread is, so that
// parts can be built and watches added first).
#pragma once

#include <sys/epoll.h>
#include <sys/types.h>

#include <atomic>
#include <memory>
#include <queue>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/base/fd.h"
#include "daemon/base/loop.h"
#include "daemon/base/mutex.h"

namespace kine {

class Histogram;

class EpollLoop final : public Loop {
 public:
  static absl::StatusOr<std::unique_ptr<EpollLoop>> Create();
  ~EpollLoop() override;

  // Runs until Quit(). Tasks posted before Quit() still run. May be called
  // again.
  void Run();
  // Any thread.
  void Quit();

  // How long each turn of the loop kept others waiting is recorded there (may
  // be null). Set before Run().
  void set_turn_histogram(Histogram* histogram) { turn_histogram_ = histogram; }

  void Post(Task task) override;
  Id PostAfter(absl::Duration delay, Task task) override;
  Id Watch(int fd, uint32_t events, FdTask task) override;
  void Cancel(Id id) override;
  bool IsCurrent() const override;
  const Clock& clock() const override { return SystemClock(); }

 private:
  struct WatchEntry;
  struct Timer {
    MonoTime due;
    Id id;
    // Ties run in the order in which they were set.
    bool operator>(const Timer& o) const {
      return due != o.due ? due > o.due : id > o.id;
    }
  };
  struct Tables;

  EpollLoop(UniqueFd epoll, UniqueFd wake);
  int WaitMillis();
  void RunPosted();
  void RunTimers();
  void RunReady(const epoll_event& event);

  const UniqueFd epoll_;
  const UniqueFd wake_;
  Histogram* turn_histogram_ = nullptr;
  std::atomic<pid_t> thread_;
  std::atomic<bool> quit_{false};

  Mutex mutex_;
  std::vector<Task> posted_ ABSL_GUARDED_BY(mutex_);
  bool wake_sent_ ABSL_GUARDED_BY(mutex_) = false;

  // Loop thread only.
  Id next_id_ = 1;
  std::priority_queue<Timer, std::vector<Timer>, std::greater<>> timers_;
  std::unique_ptr<Tables> tables_;
};

}  // namespace kine
