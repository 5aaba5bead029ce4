// A world of loops in one thread under a seed: which loop runs its next task,
// when time passes although work waits (a slow thread), and when a device (a
// disk) finishes something, is decided by a seeded generator. The same seed
// gives the same run.
//
//   FakeWorld world(seed);
//   FakeLoop& control = world.AddLoop("control");
//   ... build real objects on the loops ...
//   world.RunUntilIdle();             // Timers fire by the passing of fake
//   time. world.Advance(absl::Seconds(1));  // Runs everything that is due
//   until then.
//
// Tasks of one loop stay first in, first out; everything else may be
// interleaved. Watches are served by poll() on real descriptors without
// waiting, so sockets and pipes within the test work; ones that depend on
// another process do not belong here.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "daemon/base/loop.h"

namespace kine {

class FakeWorld;

class FakeLoop final : public Loop {
 public:
  FakeLoop(FakeWorld& world, std::string name)
      : world_(world), name_(std::move(name)) {}

  void Post(Task task) override { posted_.push_back(std::move(task)); }
  Id PostAfter(absl::Duration delay, Task task) override;
  Id Watch(int fd, uint32_t events, FdTask task) override;
  void Cancel(Id id) override;
  // True inside this loop's tasks, and everywhere outside of any task: a test's
  // body stands for all threads.
  bool IsCurrent() const override;
  const Clock& clock() const override;

  // Runs only when the dice say so 1 time in 16: a starved thread.
  void set_slow(bool slow) { slow_ = slow; }
  const std::string& name() const { return name_; }
  // Timers and watches that are still set: leaks, at the end of a test.
  size_t timer_count() const { return timers_.size(); }
  size_t watch_count() const { return watches_.size(); }

 private:
  friend class FakeWorld;
  struct Timer {
    Id id;
    Task task;
  };
  struct WatchEntry {
    int fd;
    uint32_t events;
    std::shared_ptr<FdTask> task;
  };
  uint32_t ReadyOf(const WatchEntry& watch) const;

  FakeWorld& world_;
  const std::string name_;
  bool slow_ = false;
  Id next_id_ = 1;
  std::deque<Task> posted_;
  std::multimap<MonoTime, Timer> timers_;
  std::map<Id, WatchEntry> watches_;
};

// Something outside of the loops that finishes things when it likes: a disk, a
// display. tests/fakes/fake_file_io.h is one.
class FakeActor {
 public:
  virtual ~FakeActor() = default;
  virtual bool HasWork() const = 0;
  // Does one piece of work; `random` chooses which.
  virtual void StepOne(uint64_t random) = 0;
};

class FakeWorld final : public Clock {
 public:
  explicit FakeWorld(uint64_t seed = 1);
  ~FakeWorld() override;

  FakeLoop& AddLoop(std::string name);
  // `actor` must outlive the world's last step.
  void AddActor(FakeActor& actor) { actors_.push_back(&actor); }
  void RemoveActor(FakeActor& actor);

  // Lets one thing happen. False when nothing can: no task, no ready
  // descriptor, no timer, no actor with work.
  bool Step();
  // True when the world came to rest within `steps`. Periodic timers never
  // rest: use Advance or RunUntil for those.
  bool RunUntilIdle(int steps = 1'000'000);
  // True when `done` came true within `steps`.
  bool RunUntil(absl::FunctionRef<bool()> done, int steps = 1'000'000);
  // Runs everything that is due within `duration` of fake time, then stands at
  // exactly that time.
  void Advance(absl::Duration duration);
  // Runs posted tasks, ready descriptors and actors without letting time pass.
  void Settle(int steps = 1'000'000);

  // [0, bound)
  uint64_t Random(uint64_t bound);
  bool Chance(double probability);

  MonoTime Now() const override { return now_; }
  absl::Time Wall() const override;
  // A jump of the wall clock, as an operator or NTP makes it.
  void JumpWall(absl::Duration by) { wall_offset_ += by; }

 private:
  friend class FakeLoop;
  bool RunOne(bool idle_time_may_pass);
  void Enter(FakeLoop* loop, absl::FunctionRef<void()> body);
  std::optional<MonoTime> NextTimer() const;

  std::mt19937_64 random_;
  MonoTime now_ = MonoTime::FromNanos(1'000'000'000'000);
  absl::Duration wall_offset_ = absl::ZeroDuration();
  std::optional<MonoTime> horizon_;
  FakeLoop* current_ = nullptr;
  std::vector<std::unique_ptr<FakeLoop>> loops_;
  std::vector<FakeActor*> actors_;
};

}  // namespace kine
