// A named thread that runs one EpollLoop. Destroying it quits the loop, lets
// the tasks posted before that run, and joins.
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "daemon/base/epoll_loop.h"

namespace kine {

class LoopThread {
 public:
  // `name` shows in ps and perf: at most 15 characters.
  static absl::StatusOr<std::unique_ptr<LoopThread>> Start(std::string name);
  ~LoopThread();

  EpollLoop& loop() { return *loop_; }

 private:
  explicit LoopThread(std::unique_ptr<EpollLoop> loop)
      : loop_(std::move(loop)) {}

  std::unique_ptr<EpollLoop> loop_;
  std::thread thread_;
};

}  // namespace kine
