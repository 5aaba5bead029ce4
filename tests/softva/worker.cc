#include "tests/softva/worker.h"

#include <algorithm>
#include <chrono>

namespace kine::softva {

void Completion::Set(VAStatus status) {
  const std::lock_guard<std::mutex> lock(mutex_);
  status_ = status;
  changed_.notify_all();
}

bool Completion::done() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return status_.has_value();
}

std::optional<VAStatus> Completion::Wait(uint64_t timeout_ns) const {
  std::unique_lock<std::mutex> lock(mutex_);
  const auto ended = [this] { return status_.has_value(); };
  // An hour stands for more: the sum with the clock must not overflow.
  constexpr uint64_t kLongest = 3600ull * 1'000'000'000;
  if (timeout_ns == VA_TIMEOUT_INFINITE) {
    changed_.wait(lock, ended);
  } else {
    changed_.wait_for(
        lock, std::chrono::nanoseconds(std::min(timeout_ns, kLongest)), ended);
  }
  return status_;
}

Worker::~Worker() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

CompletionPtr Worker::Submit(std::function<VAStatus()> work, bool hangs) {
  auto completion = std::make_shared<Completion>();
  const std::lock_guard<std::mutex> lock(mutex_);
  jobs_.push_back({std::move(work), completion, hangs});
  changed_.notify_all();
  return completion;
}

void Worker::Run() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (bool hung = false;;) {
    changed_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    hung = hung || jobs_.front().hangs;
    if (hung) changed_.wait(lock, [this] { return stopping_; });
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    VAStatus status = VA_STATUS_ERROR_HW_BUSY;
    if (!hung) {
      if (latency_us_ > 0)
        std::this_thread::sleep_for(std::chrono::microseconds(latency_us_));
      status = job.work();
    }
    // The work goes before its end is told: a surface's completion must not be
    // what keeps the surface.
    job.work = nullptr;
    job.completion->Set(status);
    lock.lock();
  }
}

}  // namespace kine::softva
