#include "daemon/storage/uring_file_io.h"

#include <fcntl.h>
#include <liburing.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/check.h"
#include "daemon/base/limits.h"
#include "daemon/base/status.h"
#include "daemon/storage/blocking_io.h"
#include "daemon/storage/uring_probe.h"

namespace kine {
namespace {

constexpr size_t kTransferMax = 1u << 30;

// liburing 2.3 declares functions for these two, but its shared library does
// not export them.
int Register(int ring_fd, unsigned opcode, const void* arg, size_t count) {
  const long result =
      ::syscall(SYS_io_uring_register, ring_fd, opcode, arg, count);
  return result < 0 ? -errno : 0;
}

// What a hijacked process could do with the ring: nothing that it could not do
// without. NOP takes the place of an operation that the kernel refused.
int Restrict(io_uring* ring) {
  std::array<io_uring_restriction, 5> allowed{};
  const auto set = [&allowed](size_t i, auto op) {
    allowed[i].opcode = IORING_RESTRICTION_SQE_OP;
    allowed[i].sqe_op = static_cast<uint8_t>(op);
  };
  set(0, IORING_OP_WRITE);
  set(1, IORING_OP_FSYNC);
  set(2, IORING_OP_FALLOCATE);
  set(3, IORING_OP_NOP);
  allowed[4].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
  allowed[4].sqe_flags = 0;
  const int error = Register(ring->ring_fd, IORING_REGISTER_RESTRICTIONS,
                             allowed.data(), allowed.size());
  if (error != 0) return error;
  return Register(ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
}

}  // namespace

struct UringFileIo::Op {
  enum class Kind { kWrite, kSync, kReserve };
  Kind kind;
  int fd;
  uint64_t offset = 0;
  uint64_t length = 0;
  std::vector<std::byte> data;
  size_t written = 0;
  Done done;
};

struct UringFileIo::Ring {
  io_uring uring{};
  bool made = false;
  ~Ring() {
    if (made) io_uring_queue_exit(&uring);
  }
};

absl::StatusOr<std::unique_ptr<UringFileIo>> UringFileIo::Create(
    Loop& loop, OnDemoted on_demoted) {
  UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event.valid()) return ErrnoStatus(errno, "eventfd");
  auto ring = std::make_unique<Ring>();
  io_uring_params params{};
  params.flags = IORING_SETUP_R_DISABLED;
  int error =
      io_uring_queue_init_params(limits::kUringEntries, &ring->uring, &params);
  ring->made = error == 0;
  // NODROP (5.5) keeps completions when the queue is full, and everything used
  // here came before R_DISABLED (5.10), which older kernels refuse.
  if (error == 0 && (params.features & IORING_FEAT_NODROP) == 0)
    error = -EOPNOTSUPP;
  if (error == 0) error = io_uring_ring_dontfork(&ring->uring);
  if (error == 0) error = io_uring_register_eventfd(&ring->uring, event.get());
  if (error == 0) error = Restrict(&ring->uring);
  if (error != 0) return ErrnoStatus(-error, UringErrorText(-error));
  KINE_ASSIGN_OR_RETURN(auto worker, Worker::Start(loop, "kine-file"));
  return std::unique_ptr<UringFileIo>(
      new UringFileIo(loop, std::move(ring), std::move(event),
                      std::move(worker), std::move(on_demoted)));
}

UringFileIo::UringFileIo(Loop& loop, std::unique_ptr<Ring> ring, UniqueFd event,
                         std::unique_ptr<Worker> worker, OnDemoted on_demoted)
    : loop_(loop),
      event_(std::move(event)),
      ring_(std::move(ring)),
      worker_(std::move(worker)),
      on_demoted_(std::move(on_demoted)),
      watch_(loop, loop.Watch(event_.get(), EPOLLIN,
                              [this](uint32_t) { OnEvent(); })) {}

UringFileIo::~UringFileIo() {
  KINE_CHECK(!delivering_);
  watch_.Cancel();
  queue_.clear();
  // The kernel reads the buffers until it says so.
  while (in_ring_ > 0) {
    io_uring_cqe* cqe = nullptr;
    const int error = io_uring_wait_cqe(&ring_->uring, &cqe);
    if (error == -EINTR || error == -EAGAIN) continue;
    KINE_CHECK(error == 0);
    const std::unique_ptr<Op> op(static_cast<Op*>(io_uring_cqe_get_data(cqe)));
    if (op != nullptr) --in_ring_;
    io_uring_cqe_seen(&ring_->uring, cqe);
  }
}

void UringFileIo::WriteAt(int fd, uint64_t offset, std::vector<std::byte> data,
                          Done done) {
  auto op = std::make_unique<Op>();
  op->kind = Op::Kind::kWrite;
  op->fd = fd;
  op->offset = offset;
  op->data = std::move(data);
  op->done = std::move(done);
  Start(std::move(op));
}

void UringFileIo::Sync(int fd, Done done) {
  auto op = std::make_unique<Op>();
  op->kind = Op::Kind::kSync;
  op->fd = fd;
  op->done = std::move(done);
  Start(std::move(op));
}

void UringFileIo::Reserve(int fd, uint64_t offset, uint64_t length, Done done) {
  auto op = std::make_unique<Op>();
  op->kind = Op::Kind::kReserve;
  op->fd = fd;
  op->offset = offset;
  op->length = length;
  op->done = std::move(done);
  Start(std::move(op));
}

void UringFileIo::Run(Work work, Done done) {
  if (!HasRoom(0)) return worker_->Reject(std::move(done));
  worker_->SubmitAccepted(0, std::move(work), std::move(done));
}

// What waits in the ring may move to the worker: one limit for both.
bool UringFileIo::HasRoom(size_t bytes) const {
  return pending() < limits::kFileIoOperationsMax &&
         pending_bytes_ + worker_->pending_bytes() + bytes <=
             limits::kFileIoBytesMax;
}

void UringFileIo::Start(std::unique_ptr<Op> op) {
  KINE_CHECK(loop_.IsCurrent());
  const size_t bytes = op->data.size();
  if (!HasRoom(bytes)) return worker_->Reject(std::move(op->done));
  ++pending_;
  pending_bytes_ += bytes;
  queue_.push_back(std::move(op));
  SubmitQueued();
}

void UringFileIo::SubmitQueued() {
  while (!queue_.empty() && (demoted_ || in_ring_ < limits::kUringEntries)) {
    std::unique_ptr<Op> op = std::move(queue_.front());
    queue_.pop_front();
    if (demoted_) {
      GiveToWorker(std::move(op));
    } else {
      SubmitOne(std::move(op));
    }
  }
}

void UringFileIo::SubmitOne(std::unique_ptr<Op> op) {
  io_uring_sqe* const sqe = io_uring_get_sqe(&ring_->uring);
  // Nothing stays in the submission queue beyond this call but NOPs.
  if (sqe == nullptr) return GiveToWorker(std::move(op));
  switch (op->kind) {
    case Op::Kind::kWrite:
      io_uring_prep_write(sqe, op->fd, op->data.data() + op->written,
                          static_cast<unsigned>(std::min(
                              op->data.size() - op->written, kTransferMax)),
                          op->offset + op->written);
      break;
    case Op::Kind::kSync:
      io_uring_prep_fsync(sqe, op->fd, IORING_FSYNC_DATASYNC);
      break;
    case Op::Kind::kReserve:
      io_uring_prep_fallocate(sqe, op->fd, FALLOC_FL_KEEP_SIZE,
                              static_cast<off_t>(op->offset),
                              static_cast<off_t>(op->length));
      break;
  }
  io_uring_sqe_set_data(sqe, op.get());
  int result;
  do {
    result = io_uring_submit(&ring_->uring);
  } while (result == -EINTR);
  // A count above 0 may be that of older NOPs alone.
  if (result >= 0 && io_uring_sq_ready(&ring_->uring) == 0) {
    ++in_ring_;
    (void)op.release();  // The kernel's until its completion.
    return;
  }
  // Not taken: the entry is still ours. It goes with the next submission, and
  // must not mean anything then.
  io_uring_prep_nop(sqe);
  io_uring_sqe_set_data(sqe, nullptr);
  if (result < 0 && result != -EAGAIN && result != -EBUSY && result != -ENOMEM)
    Demote(-result);
  GiveToWorker(std::move(op));
}

void UringFileIo::Demote(int error) {
  if (std::exchange(demoted_, true)) return;
  // Later, never inside the call.
  worker_->SubmitAccepted(
      0, [] { return absl::OkStatus(); },
      [this, error](absl::Status) {
        on_demoted_(ErrnoStatus(error, "io_uring_enter"));
      });
}

void UringFileIo::GiveToWorker(std::unique_ptr<Op> op) {
  --pending_;
  pending_bytes_ -= op->data.size();
  FileIo::Done done = std::move(op->done);
  const size_t bytes = op->data.size();
  worker_->SubmitAccepted(
      bytes,
      [op = std::move(op)] {
        switch (op->kind) {
          case Op::Kind::kWrite:
            return WriteFully(op->fd, op->offset + op->written,
                              std::span(op->data).subspan(op->written));
          case Op::Kind::kSync:
            return SyncData(op->fd);
          case Op::Kind::kReserve:
            return ReserveSpace(op->fd, op->offset, op->length);
        }
        return absl::InternalError("no such operation");
      },
      std::move(done));
}

void UringFileIo::OnEvent() {
  uint64_t count;
  ssize_t n;
  do {
    n = ::read(event_.get(), &count, sizeof count);
  } while (n < 0 && errno == EINTR);
  Reap();
  SubmitQueued();
  DeliverFinished();
}

void UringFileIo::Reap() {
  io_uring_cqe* cqe = nullptr;
  while (io_uring_peek_cqe(&ring_->uring, &cqe) == 0) {
    std::unique_ptr<Op> op(static_cast<Op*>(io_uring_cqe_get_data(cqe)));
    const int result = cqe->res;
    io_uring_cqe_seen(&ring_->uring, cqe);
    if (op == nullptr) continue;
    --in_ring_;
    OnResult(std::move(op), result);
  }
}

void UringFileIo::OnResult(std::unique_ptr<Op> op, int result) {
  const bool again = result == -EAGAIN || result == -ENOMEM;
  switch (op->kind) {
    case Op::Kind::kWrite:
      if (result == -EINTR) return queue_.push_front(std::move(op));
      // EAGAIN would come again at once, ENOMEM soon: the worker can wait.
      if (again) return GiveToWorker(std::move(op));
      if (result < 0) {
        return Finish(std::move(op), ErrnoStatus(-result, "write"));
      }
      op->written += static_cast<size_t>(result);
      if (op->written == op->data.size())
        return Finish(std::move(op), absl::OkStatus());
      if (result == 0) return Finish(std::move(op), ErrnoStatus(EIO, "write"));
      return queue_.push_front(std::move(op));
    case Op::Kind::kSync:
      return Finish(std::move(op), result < 0
                                       ? ErrnoStatus(-result, "fdatasync")
                                       : absl::OkStatus());
    case Op::Kind::kReserve:
      if (again || result == -EINTR) return GiveToWorker(std::move(op));
      return Finish(std::move(op), result < 0 ? ReserveErrorStatus(-result)
                                              : absl::OkStatus());
  }
}

void UringFileIo::Finish(std::unique_ptr<Op> op, absl::Status status) {
  finished_.push_back({std::move(op->done), std::move(status)});
  pending_bytes_ -= op->data.size();
}

void UringFileIo::DeliverFinished() {
  std::vector<Finished> finished;
  finished.swap(finished_);
  delivering_ = true;
  for (Finished& f : finished) {
    --pending_;
    std::exchange(f.done, nullptr)(std::move(f.status));
  }
  delivering_ = false;
}

}  // namespace kine
