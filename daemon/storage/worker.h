// Worker: one thread that runs blocking pieces of work, first in, first out,
// and reports on the loop.
//
// Threads: Submit() and callbacks on the loop's thread; the work on the
// worker's. Destroying it waits for the piece that runs, drops the others and
// runs no further callbacks.
//
// At most limits::kFileIoOperationsMax pieces with kFileIoBytesMax bytes may
// wait; above that `done` gets RESOURCE_EXHAUSTED.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "daemon/base/fd.h"
#include "daemon/base/loop.h"
#include "daemon/base/mutex.h"
#include "daemon/storage/file_io.h"

namespace kine {

class Worker {
 public:
  // `name` shows in ps and perf: at most 15 characters.
  static absl::StatusOr<std::unique_ptr<Worker>> Start(Loop& loop,
                                                       absl::string_view name);
  ~Worker();

  // `bytes` is the memory that `work` holds, for the limit.
  void Submit(size_t bytes, FileIo::Work work, FileIo::Done done);
  // The same for work that was counted against the limit elsewhere.
  void SubmitAccepted(size_t bytes, FileIo::Work work, FileIo::Done done);
  // Answers `done` with RESOURCE_EXHAUSTED, later.
  void Reject(FileIo::Done done);

  // Pieces whose callback has not run yet, and their bytes.
  size_t pending() const { return pending_; }
  uint64_t pending_bytes() const { return pending_bytes_; }

 private:
  struct Item {
    size_t bytes = 0;
    FileIo::Work work;
    FileIo::Done done;
    absl::Status result;
  };

  Worker(Loop& loop, UniqueFd wake) : loop_(loop), wake_(std::move(wake)) {}
  void RunThread();
  void DeliverFinished();
  void Wake();

  Loop& loop_;
  const UniqueFd wake_;  // An eventfd: something has finished.

  Mutex mutex_;
  CondVar work_arrived_;
  std::deque<Item> queue_ ABSL_GUARDED_BY(mutex_);
  std::vector<Item> finished_ ABSL_GUARDED_BY(mutex_);
  bool quit_ ABSL_GUARDED_BY(mutex_) = false;

  // Loop thread only.
  size_t pending_ = 0;
  uint64_t pending_bytes_ = 0;
  bool delivering_ = false;
  std::thread thread_;
  LoopHandle watch_;
};

}  // namespace kine
