#include "daemon/base/epoll_loop.h"

#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "daemon/base/check.h"
#include "daemon/base/metrics.h"
#include "daemon/base/status.h"

namespace kine {
namespace {

constexpr int kEventsMax = 64;
constexpr Loop::Id kWakeId = 0;

pid_t ThreadId() {
  static thread_local const pid_t kId =
      static_cast<pid_t>(::syscall(SYS_gettid));
  return kId;
}

}  // namespace

struct EpollLoop::WatchEntry {
  int fd;
  FdTask task;
};

struct EpollLoop::Tables {
  absl::flat_hash_map<Id, Task> timers;
  // unique_ptr: a callback may add watches and so move the table under itself.
  absl::flat_hash_map<Id, std::unique_ptr<WatchEntry>> watches;
  // A watch cancelled inside its own callback lives until the callback ends.
  std::vector<std::unique_ptr<WatchEntry>> dead;
};

absl::StatusOr<std::unique_ptr<EpollLoop>> EpollLoop::Create() {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return ErrnoStatus(errno, "epoll_create1");
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.valid()) return ErrnoStatus(errno, "eventfd");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kWakeId;
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, wake.get(), &event) != 0)
    return ErrnoStatus(errno, "epoll_ctl for the wake-up eventfd");
  return std::unique_ptr<EpollLoop>(
      new EpollLoop(std::move(epoll), std::move(wake)));
}

EpollLoop::EpollLoop(UniqueFd epoll, UniqueFd wake)
    : epoll_(std::move(epoll)),
      wake_(std::move(wake)),
      thread_(ThreadId()),
      tables_(std::make_unique<Tables>()) {}

EpollLoop::~EpollLoop() = default;

bool EpollLoop::IsCurrent() const {
  return thread_.load(std::memory_order_relaxed) == ThreadId();
}

void EpollLoop::Post(Task task) {
  bool wake = false;
  {
    MutexLock lock(mutex_);
    posted_.push_back(std::move(task));
    wake = !std::exchange(wake_sent_, true);
  }
  if (!wake) return;
  const uint64_t one = 1;
  // Cannot fail but by overflow, and then the loop is awake already.
  (void)!::write(wake_.get(), &one, sizeof one);
}

Loop::Id EpollLoop::PostAfter(absl::Duration delay, Task task) {
  KINE_CHECK(IsCurrent());
  const Id id = next_id_++;
  // Ten years is for ever and does not overflow.
  const absl::Duration bounded =
      std::clamp(delay, absl::ZeroDuration(), absl::Hours(24 * 3650));
  timers_.push(Timer{clock().Now() + bounded, id});
  tables_->timers.emplace(id, std::move(task));
  return id;
}

Loop::Id EpollLoop::Watch(int fd, uint32_t events, FdTask task) {
  KINE_CHECK(IsCurrent());
  const Id id = next_id_++;
  epoll_event event{};
  event.events = events;
  event.data.u64 = id;
  // A closed or doubly watched descriptor is a bug of the caller's.
  KINE_CHECK(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0);
  tables_->watches.emplace(
      id, std::make_unique<WatchEntry>(WatchEntry{fd, std::move(task)}));
  return id;
}

void EpollLoop::Cancel(Id id) {
  KINE_CHECK(IsCurrent());
  if (tables_->timers.erase(id) != 0) return;
  auto it = tables_->watches.find(id);
  if (it == tables_->watches.end()) return;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, it->second->fd, nullptr);
  tables_->dead.push_back(std::move(it->second));
  tables_->watches.erase(it);
}

int EpollLoop::WaitMillis() {
  // Drop cancelled timers, so that they wake nobody.
  while (!timers_.empty() && !tables_->timers.contains(timers_.top().id))
    timers_.pop();
  if (timers_.empty()) return -1;
  const absl::Duration left = timers_.top().due - clock().Now();
  if (left <= absl::ZeroDuration()) return 0;
  // Rounded up: waking before the time is due would spin.
  const int64_t millis = absl::ToInt64Milliseconds(left) + 1;
  return static_cast<int>(std::min<int64_t>(millis, 3'600'000));
}

void EpollLoop::RunPosted() {
  std::vector<Task> tasks;
  {
    MutexLock lock(mutex_);
    tasks.swap(posted_);
    wake_sent_ = false;
  }
  for (Task& task : tasks) {
    task();
    task = nullptr;  // What a task owns dies before the next one runs.
  }
}

void EpollLoop::RunTimers() {
  const MonoTime now = clock().Now();
  // Timers set by the callbacks below wait for the next turn: a timer that
  // re-arms itself with 0 must not starve the sockets.
  const Id end = next_id_;
  while (!timers_.empty() && timers_.top().due <= now &&
         timers_.top().id < end) {
    const Id id = timers_.top().id;
    timers_.pop();
    auto it = tables_->timers.find(id);
    if (it == tables_->timers.end()) continue;
    Task task = std::move(it->second);
    tables_->timers.erase(it);
    task();
  }
}

void EpollLoop::RunReady(const epoll_event& event) {
  if (event.data.u64 == kWakeId) {
    uint64_t count;
    (void)!::read(wake_.get(), &count, sizeof count);
    return;
  }
  auto it = tables_->watches.find(event.data.u64);
  if (it == tables_->watches.end()) return;  // Cancelled earlier in this turn.
  WatchEntry* entry = it->second.get();
  entry->task(event.events);
}

void EpollLoop::Run() {
  thread_.store(ThreadId(), std::memory_order_relaxed);
  epoll_event events[kEventsMax];
  while (true) {
    const bool quitting = quit_.load(std::memory_order_acquire);
    const int count = ::epoll_wait(epoll_.get(), events, kEventsMax,
                                   quitting ? 0 : WaitMillis());
    KINE_CHECK(count >= 0 || errno == EINTR);
    const MonoTime start = clock().Now();
    for (int i = 0; i < count; ++i) RunReady(events[i]);
    RunPosted();
    RunTimers();
    tables_->dead.clear();
    if (turn_histogram_ != nullptr)
      turn_histogram_->Record(clock().Now() - start);
    if (!quitting) continue;
    quit_.store(false, std::memory_order_release);  // Run() may come again.
    return;
  }
}

void EpollLoop::Quit() {
  Post([this] { quit_.store(true, std::memory_order_release); });
}

}  // namespace kine
