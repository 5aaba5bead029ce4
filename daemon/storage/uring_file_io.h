// UringFileIo: FileIo by io_uring; Run() goes to a worker thread.
//
// The ring has limits::kUringEntries entries, no SQPOLL and no DEFER_TASKRUN
// (with it, epoll does not wake for completions), tells the loop by a
// registered eventfd, and is restricted to the operations used here. No
// SINGLE_ISSUER either: without DEFER_TASKRUN it gains nothing, and it would
// bind the ring to the thread that builds it, while a Loop may be built on one
// thread and run on another. What does not fit into the ring waits in a queue.
//
// When the kernel refuses an operation for want of memory, or the ring as a
// whole, that operation is done by the worker instead. The first time the ring
// as a whole is refused `on_demoted` is told why and every later operation goes
// to the worker: the caller loses nothing and can show the fallback.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "daemon/base/fd.h"
#include "daemon/base/loop.h"
#include "daemon/storage/file_io.h"
#include "daemon/storage/worker.h"

namespace kine {

class UringFileIo final : public FileIo {
 public:
  using OnDemoted = absl::AnyInvocable<void(absl::Status)>;

  // Fails with the hint what to allow, where io_uring is forbidden. A seccomp
  // filter may also kill the process: see uring_probe.h.
  static absl::StatusOr<std::unique_ptr<UringFileIo>> Create(
      Loop& loop, OnDemoted on_demoted);
  ~UringFileIo() override;

  void WriteAt(int fd, uint64_t offset, std::vector<std::byte> data,
               Done done) override;
  void Sync(int fd, Done done) override;
  void Reserve(int fd, uint64_t offset, uint64_t length, Done done) override;
  void Run(Work work, Done done) override;
  size_t pending() const override { return pending_ + worker_->pending(); }

 private:
  struct Op;
  struct Ring;

  UringFileIo(Loop& loop, std::unique_ptr<Ring> ring, UniqueFd event,
              std::unique_ptr<Worker> worker, OnDemoted on_demoted);
  bool HasRoom(size_t bytes) const;
  void Start(std::unique_ptr<Op> op);
  void SubmitQueued();
  // Gives `op` to the kernel, or to the worker when the kernel refuses.
  void SubmitOne(std::unique_ptr<Op> op);
  void OnEvent();
  void Reap();
  void OnResult(std::unique_ptr<Op> op, int result);
  void Finish(std::unique_ptr<Op> op, absl::Status status);
  void DeliverFinished();
  void GiveToWorker(std::unique_ptr<Op> op);
  void Demote(int error);

  Loop& loop_;
  const UniqueFd event_;
  const std::unique_ptr<Ring> ring_;
  const std::unique_ptr<Worker> worker_;
  OnDemoted on_demoted_;
  bool demoted_ = false;

  std::deque<std::unique_ptr<Op>> queue_;  // Not yet in the ring.
  size_t in_ring_ = 0;
  size_t pending_ = 0;  // Without the worker's.
  uint64_t pending_bytes_ = 0;
  struct Finished {
    Done done;
    absl::Status status;
  };
  std::vector<Finished> finished_;
  bool delivering_ = false;
  LoopHandle watch_;
};

}  // namespace kine
