// The "hardware": one thread that does the pictures in the order of their
// submission.
#pragma once

#include <va/va.h>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

namespace kine::softva {

// The end of one piece of work. Any thread.
class Completion {
 public:
  void Set(VAStatus status);
  bool done() const;
  // The status it ended with; none when it has not within `timeout_ns`
  // (VA_TIMEOUT_INFINITE: waits for good).
  std::optional<VAStatus> Wait(uint64_t timeout_ns) const;

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::optional<VAStatus> status_;
};
using CompletionPtr = std::shared_ptr<Completion>;

class Worker {
 public:
  explicit Worker(uint32_t latency_us)
      : latency_us_(latency_us), thread_([this] { Run(); }) {}
  // Finishes what was submitted; what hangs ends with an error.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // `hangs`: it is never done, and so is nothing behind it.
  CompletionPtr Submit(std::function<VAStatus()> work, bool hangs);

 private:
  struct Job {
    std::function<VAStatus()> work;
    CompletionPtr completion;
    bool hangs = false;
  };
  void Run();

  const uint32_t latency_us_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  bool stopping_ = false;
  std::thread thread_;  // Last: it uses all of the above.
};

}  // namespace kine::softva
