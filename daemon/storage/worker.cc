#include "daemon/storage/worker.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/check.h"
#include "daemon/base/limits.h"
#include "daemon/base/status.h"

namespace kine {

absl::StatusOr<std::unique_ptr<Worker>> Worker::Start(Loop& loop,
                                                      absl::string_view name) {
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.valid()) return ErrnoStatus(errno, "eventfd");
  std::unique_ptr<Worker> worker(new Worker(loop, std::move(wake)));
  Worker* const self = worker.get();
  self->watch_ = LoopHandle(
      loop, loop.Watch(self->wake_.get(), EPOLLIN,
                       [self](uint32_t) { self->DeliverFinished(); }));
  self->thread_ = std::thread([self, thread_name = std::string(name)] {
    (void)pthread_setname_np(pthread_self(), thread_name.c_str());  // Only ps.
    self->RunThread();
  });
  return worker;
}

Worker::~Worker() {
  KINE_CHECK(!delivering_);
  std::deque<Item> dropped;
  {
    MutexLock lock(mutex_);
    quit_ = true;
    dropped.swap(queue_);
  }
  work_arrived_.NotifyOne();
  thread_.join();
}

void Worker::Submit(size_t bytes, FileIo::Work work, FileIo::Done done) {
  if (pending_ >= limits::kFileIoOperationsMax ||
      bytes > limits::kFileIoBytesMax - pending_bytes_)
    return Reject(std::move(done));
  SubmitAccepted(bytes, std::move(work), std::move(done));
}

void Worker::SubmitAccepted(size_t bytes, FileIo::Work work,
                            FileIo::Done done) {
  KINE_CHECK(loop_.IsCurrent());
  ++pending_;
  pending_bytes_ += bytes;
  MutexLock lock(mutex_);
  queue_.push_back({bytes, std::move(work), std::move(done), {}});
  work_arrived_.NotifyOne();
}

void Worker::Reject(FileIo::Done done) {
  KINE_CHECK(loop_.IsCurrent());
  ++pending_;
  MutexLock lock(mutex_);
  finished_.push_back(
      {0, nullptr, std::move(done),
       absl::ResourceExhaustedError(absl::StrCat(
           "file operations: ", limits::kFileIoOperationsMax, " of them or ",
           limits::kFileIoBytesMax, " bytes wait already"))});
  Wake();
}

void Worker::RunThread() {
  while (true) {
    Item item;
    {
      MutexLock lock(mutex_);
      while (queue_.empty() && !quit_) work_arrived_.Wait(mutex_);
      if (quit_) return;
      item = std::move(queue_.front());
      queue_.pop_front();
    }
    item.result = item.work();
    item.work = nullptr;  // Frees its buffers here rather than on the loop.
    MutexLock lock(mutex_);
    finished_.push_back(std::move(item));
    Wake();
  }
}

void Worker::Wake() {
  const uint64_t one = 1;
  ssize_t n;
  do {
    n = ::write(wake_.get(), &one, sizeof one);
  } while (n < 0 && errno == EINTR);
  // EAGAIN: the counter is full, so the loop will wake up anyway.
}

void Worker::DeliverFinished() {
  uint64_t count;
  ssize_t n;
  do {
    n = ::read(wake_.get(), &count, sizeof count);
  } while (n < 0 && errno == EINTR);
  std::vector<Item> finished;
  {
    MutexLock lock(mutex_);
    finished.swap(finished_);
  }
  delivering_ = true;
  for (Item& item : finished) {
    --pending_;
    pending_bytes_ -= item.bytes;
    std::exchange(item.done, nullptr)(std::move(item.result));
  }
  delivering_ = false;
}

}  // namespace kine
