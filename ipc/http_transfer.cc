// FileTransfer: sendfile() on the file loop.
#include <sys/epoll.h>
#include <sys/sendfile.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "daemon/base/limits.h"
#include "ipc/connection.h"

namespace kine {

FileTransfer::FileTransfer(Loop& loop, Loop& file_loop,
                           std::shared_ptr<const UniqueFd> socket,
                           std::shared_ptr<const UniqueFd> file,
                           uint64_t offset, uint64_t size,
                           absl::AnyInvocable<void(bool)> done)
    : loop_(loop),
      file_loop_(file_loop),
      offset_(offset),
      size_(size),
      moved_at_(loop.clock().Now().nanos()),
      socket_(std::move(socket)),
      file_(std::move(file)),
      done_(std::move(done)) {}

void FileTransfer::Start() {
  file_loop_.Post([self = shared_from_this()] { self->SendPiece(); });
}

void FileTransfer::SendPiece() {
  const uint64_t sent = sent_.load(std::memory_order_relaxed);
  off_t at = static_cast<off_t>(offset_ + sent);
  const size_t want = static_cast<size_t>(
      std::min<uint64_t>(size_ - sent, limits::kSendfileChunkBytes));
  const ssize_t count = ::sendfile(socket_->get(), file_->get(), &at, want);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
    WaitForRoom();
    return;
  }
  // 0: the file is shorter than what was promised.
  if (count <= 0) {
    Finish(false);
    return;
  }
  const uint64_t now = sent + static_cast<uint64_t>(count);
  moved_at_.store(file_loop_.clock().Now().nanos(), std::memory_order_relaxed);
  sent_.store(now, std::memory_order_relaxed);
  if (now == size_) {
    Finish(true);
  } else if (static_cast<size_t>(count) < want) {
    WaitForRoom();
  } else if (watch_ == 0) {
    Start();  // Behind the other transfers.
  }
}

void FileTransfer::WaitForRoom() {
  if (watch_ != 0) return;
  watch_ = file_loop_.Watch(
      socket_->get(), EPOLLOUT,
      [self = shared_from_this()](uint32_t) { self->SendPiece(); });
}

void FileTransfer::Finish(bool complete) {
  // The watch holds what may be the last reference to this.
  const std::shared_ptr<FileTransfer> self = shared_from_this();
  if (watch_ != 0) file_loop_.Cancel(std::exchange(watch_, 0));
  socket_.reset();
  file_.reset();
  loop_.Post([done = std::move(done_), complete]() mutable { done(complete); });
}

}  // namespace kine
