#include "daemon/base/loop_thread.h"

#include <pthread.h>

#include <future>
#include <utility>

#include "daemon/base/status.h"

namespace kine {

absl::StatusOr<std::unique_ptr<LoopThread>> LoopThread::Start(
    std::string name) {
  KINE_ASSIGN_OR_RETURN(std::unique_ptr<EpollLoop> loop, EpollLoop::Create());
  std::unique_ptr<LoopThread> out(new LoopThread(std::move(loop)));
  // Run() must have claimed the loop before the caller's IsCurrent() checks
  // can mean anything: wait for the first task.
  std::promise<void> running;
  out->loop_->Post([&running] { running.set_value(); });
  out->thread_ = std::thread([&loop = *out->loop_, name = std::move(name)] {
    pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
    loop.Run();
  });
  running.get_future().wait();
  return out;
}

LoopThread::~LoopThread() {
  loop_->Quit();
  thread_.join();
}

}  // namespace kine
