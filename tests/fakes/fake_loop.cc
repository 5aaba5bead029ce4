#include "tests/fakes/fake_loop.h"

#include <poll.h>
#include <sys/epoll.h>

#include <algorithm>
#include <utility>

#include "daemon/base/check.h"

namespace kine {

Loop::Id FakeLoop::PostAfter(absl::Duration delay, Task task) {
  KINE_CHECK(IsCurrent());
  const Id id = next_id_++;
  const absl::Duration bounded =
      std::clamp(delay, absl::ZeroDuration(), absl::Hours(24 * 3650));
  timers_.emplace(world_.Now() + bounded, Timer{id, std::move(task)});
  return id;
}

Loop::Id FakeLoop::Watch(int fd, uint32_t events, FdTask task) {
  KINE_CHECK(IsCurrent());
  const Id id = next_id_++;
  watches_.emplace(
      id, WatchEntry{fd, events, std::make_shared<FdTask>(std::move(task))});
  return id;
}

void FakeLoop::Cancel(Id id) {
  KINE_CHECK(IsCurrent());
  watches_.erase(id);
  for (auto it = timers_.begin(); it != timers_.end(); ++it) {
    if (it->second.id != id) continue;
    timers_.erase(it);
    return;
  }
}

bool FakeLoop::IsCurrent() const {
  return world_.current_ == nullptr || world_.current_ == this;
}

const Clock& FakeLoop::clock() const { return world_; }

uint32_t FakeLoop::ReadyOf(const WatchEntry& watch) const {
  // The EPOLL* and POLL* bits that are used here have the same values.
  static_assert(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT &&
                EPOLLHUP == POLLHUP && EPOLLERR == POLLERR);
  pollfd p{watch.fd, static_cast<short>(watch.events & 0xff), 0};
  if (::poll(&p, 1, 0) <= 0) return 0;
  KINE_CHECK((p.revents & POLLNVAL) == 0);  // Closed while watched.
  return static_cast<uint32_t>(p.revents);
}

FakeWorld::FakeWorld(uint64_t seed) : random_(seed) {}
FakeWorld::~FakeWorld() = default;

FakeLoop& FakeWorld::AddLoop(std::string name) {
  loops_.push_back(std::make_unique<FakeLoop>(*this, std::move(name)));
  return *loops_.back();
}

void FakeWorld::RemoveActor(FakeActor& actor) { std::erase(actors_, &actor); }

uint64_t FakeWorld::Random(uint64_t bound) {
  KINE_CHECK(bound > 0);
  return random_() % bound;  // The bias of 2^-50 does not matter here.
}

bool FakeWorld::Chance(double probability) {
  return static_cast<double>(random_() >> 11) * 0x1p-53 < probability;
}

absl::Time FakeWorld::Wall() const {
  return absl::FromUnixSeconds(1'700'000'000) +
         absl::Nanoseconds(now_.nanos()) + wall_offset_;
}

void FakeWorld::Enter(FakeLoop* loop, absl::FunctionRef<void()> body) {
  FakeLoop* const outer = std::exchange(current_, loop);
  body();
  current_ = outer;
}

std::optional<MonoTime> FakeWorld::NextTimer() const {
  std::optional<MonoTime> next;
  for (const auto& loop : loops_) {
    if (loop->timers_.empty()) continue;
    const MonoTime due = loop->timers_.begin()->first;
    if (!next.has_value() || due < *next) next = due;
  }
  return next;
}

bool FakeWorld::RunOne(bool time_may_pass) {
  struct Choice {
    FakeLoop* loop = nullptr;
    FakeActor* actor = nullptr;
    enum { kPosted, kTimer, kWatch, kActor } what = kPosted;
    Loop::Id watch = 0;
    uint32_t ready = 0;
  };
  std::vector<Choice> choices;
  std::vector<Choice> starved;
  for (const auto& loop : loops_) {
    auto& list = loop->slow_ && Random(16) != 0 ? starved : choices;
    if (!loop->posted_.empty())
      list.push_back({loop.get(), nullptr, Choice::kPosted, 0, 0});
    if (!loop->timers_.empty() && loop->timers_.begin()->first <= now_)
      list.push_back({loop.get(), nullptr, Choice::kTimer, 0, 0});
    for (const auto& [id, watch] : loop->watches_) {
      const uint32_t ready = loop->ReadyOf(watch);
      if (ready != 0)
        list.push_back({loop.get(), nullptr, Choice::kWatch, id, ready});
    }
  }
  for (FakeActor* actor : actors_)
    if (actor->HasWork())
      choices.push_back({nullptr, actor, Choice::kActor, 0, 0});
  if (choices.empty()) choices.swap(starved);

  const std::optional<MonoTime> next = NextTimer();
  const bool can_pass = time_may_pass && next.has_value() && *next > now_ &&
                        (!horizon_.has_value() || *next <= *horizon_);
  if (choices.empty() && !can_pass) return false;
  if (can_pass && (choices.empty() || Random(32) == 0)) {
    // Sometimes time passes although work waits: a thread that was not
    // scheduled.
    now_ = *next;
    return true;
  }
  Choice choice = choices[Random(choices.size())];
  switch (choice.what) {
    case Choice::kActor:
      choice.actor->StepOne(random_());
      break;
    case Choice::kPosted: {
      Loop::Task task = std::move(choice.loop->posted_.front());
      choice.loop->posted_.pop_front();
      Enter(choice.loop, [&task] {
        task();
        task = nullptr;
      });
      break;
    }
    case Choice::kTimer: {
      auto first = choice.loop->timers_.begin();
      Loop::Task task = std::move(first->second.task);
      choice.loop->timers_.erase(first);
      Enter(choice.loop, [&task] {
        task();
        task = nullptr;
      });
      break;
    }
    case Choice::kWatch: {
      // The callback may cancel its own watch: keep it alive meanwhile.
      const auto task = choice.loop->watches_.at(choice.watch).task;
      Enter(choice.loop, [&] { (*task)(choice.ready); });
      break;
    }
  }
  return true;
}

bool FakeWorld::Step() { return RunOne(true); }

bool FakeWorld::RunUntilIdle(int steps) {
  for (int i = 0; i < steps; ++i)
    if (!RunOne(true)) return true;
  return false;
}

bool FakeWorld::RunUntil(absl::FunctionRef<bool()> done, int steps) {
  for (int i = 0; i < steps; ++i) {
    if (done()) return true;
    if (!RunOne(true)) return done();
  }
  return done();
}

void FakeWorld::Advance(absl::Duration duration) {
  const MonoTime end = now_ + duration;
  horizon_ = end;
  while (RunOne(true)) {
  }
  horizon_.reset();
  now_ = end;
  Settle();
}

void FakeWorld::Settle(int steps) {
  for (int i = 0; i < steps; ++i)
    if (!RunOne(false)) return;
}

}  // namespace kine
