// Loop: the one thread an object lives on, and its time. A seam: EpollLoop is
// the real one, tests/fakes/fake_loop.h runs many in one thread under a seed.
//
// Threads: Post() may be called from any thread; everything else only from the
// loop's own (IsCurrent()).
//
// Order: posted tasks run first in, first out, never inside Post(). All the
// project's "posted after the last frame" arguments rest on this. Between two
// tasks there is a full memory barrier.
//
// Lifetime: a callback never runs after its Cancel() returned. Tasks left when
// a loop is destroyed are destroyed without being run, on the thread that
// destroys the loop.
#pragma once

#include <cstdint>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "daemon/base/clock.h"

namespace kine {

class Loop {
 public:
  using Task = absl::AnyInvocable<void()>;
  // Gets the EPOLL* bits that are ready; EPOLLERR and EPOLLHUP come unasked.
  using FdTask = absl::AnyInvocable<void(uint32_t ready)>;
  // Names a timer or a watch. Never 0, never reused.
  using Id = uint64_t;

  virtual ~Loop() = default;

  // Any thread. Runs `task` on the loop's thread, later.
  virtual void Post(Task task) = 0;

  // Runs `task` once, `delay` from now (at once, but never inside the call,
  // when not positive).
  virtual Id PostAfter(absl::Duration delay, Task task) = 0;

  // Calls `task` whenever `fd` has one of `events` (EPOLLIN...; level
  // triggered) until cancelled. The caller keeps `fd` open until then.
  virtual Id Watch(int fd, uint32_t events, FdTask task) = 0;

  // Ends a timer or a watch. An id that has already fired or was cancelled is
  // ignored. May be called from inside the callback itself.
  virtual void Cancel(Id id) = 0;

  virtual bool IsCurrent() const = 0;
  virtual const Clock& clock() const = 0;
};

// Owns a timer or a watch: destroying it cancels. Use as the last member.
class LoopHandle {
 public:
  LoopHandle() = default;
  LoopHandle(Loop& loop, Loop::Id id) : loop_(&loop), id_(id) {}
  ~LoopHandle() { Cancel(); }
  LoopHandle(LoopHandle&& other) noexcept
      : loop_(std::exchange(other.loop_, nullptr)),
        id_(std::exchange(other.id_, 0)) {}
  LoopHandle& operator=(LoopHandle&& other) noexcept {
    if (this != &other) {
      Cancel();
      loop_ = std::exchange(other.loop_, nullptr);
      id_ = std::exchange(other.id_, 0);
    }
    return *this;
  }
  // True until cancelled. A timer that fired stays "active" until its owner
  // cancels or replaces it.
  bool active() const { return loop_ != nullptr; }
  void Cancel() {
    if (loop_ != nullptr) std::exchange(loop_, nullptr)->Cancel(id_);
  }

 private:
  Loop* loop_ = nullptr;
  Loop::Id id_ = 0;
};

}  // namespace kine
