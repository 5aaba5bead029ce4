#include "capture/dmabuf/fences.h"

#include <fcntl.h>
#include <linux/dma-buf.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <utility>

#include "daemon/base/limits.h"

namespace kine {
namespace {

// A descriptor of the fences that are on the buffer now.
UniqueFd ExportFence(int dmabuf) {
#ifdef DMA_BUF_IOCTL_EXPORT_SYNC_FILE
  dma_buf_export_sync_file request{};
  request.flags = DMA_BUF_SYNC_READ;  // What a reader waits for: the writers.
  request.fd = -1;
  int result;
  do {
    result = ioctl(dmabuf, DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &request);
  } while (result != 0 && (errno == EINTR || errno == EAGAIN));
  if (result == 0) return UniqueFd(request.fd);
#endif
  return UniqueFd(fcntl(dmabuf, F_DUPFD_CLOEXEC, 0));
}

bool IsPending(int fd) {
  pollfd state{fd, POLLIN, 0};
  return poll(&state, 1, 0) == 0;
}

}  // namespace

std::vector<UniqueFd> PendingFences(const Frame& frame) {
  std::vector<UniqueFd> pending;
  for (int i = 0; i < frame.plane_count; ++i) {
    const int dmabuf = frame.planes[static_cast<size_t>(i)].fd;
    // Planes of one buffer are often one descriptor.
    if (dmabuf < 0 || (i > 0 && frame.planes[0].fd == dmabuf)) continue;
    UniqueFd fence = ExportFence(dmabuf);
    if (fence.valid() && IsPending(fence.get()))
      pending.push_back(std::move(fence));
  }
  return pending;
}

FenceGate::FenceGate(Loop& loop, std::function<void(Frame)> ready,
                     std::function<void(Lost)> lost)
    : loop_(loop), ready_(std::move(ready)), lost_(std::move(lost)) {}

void FenceGate::Put(Frame frame, std::vector<UniqueFd> fences) {
  if (!first_) {
    if (fences.empty()) return HandOn(std::move(frame));
    first_ = Entry{std::move(frame), std::move(fences)};
    return Advance();
  }
  if (next_) {
    InheritDamage(next_->frame, frame);
    lost_(Lost::kReplaced);
  }
  next_ = Entry{std::move(frame), std::move(fences)};
}

void FenceGate::Clear() {
  watch_.Cancel();
  timeout_.Cancel();
  first_.reset();
  next_.reset();
  damage_lost_ = false;
  timeouts_ = 0;
}

void FenceGate::Advance() {
  watch_.Cancel();
  while (first_ && first_->fences.empty()) {
    timeout_.Cancel();
    Frame frame = std::move(first_->frame);
    first_ = std::exchange(next_, std::nullopt);
    HandOn(std::move(frame));
  }
  if (!first_) return;
  watch_ = LoopHandle(loop_, loop_.Watch(first_->fences.back().get(), EPOLLIN,
                                         [this](uint32_t) {
                                           // The watch goes before its
                                           // descriptor.
                                           watch_.Cancel();
                                           first_->fences.pop_back();
                                           Advance();
                                         }));
  if (timeout_.active()) return;
  timeout_ = LoopHandle(
      loop_, loop_.PostAfter(absl::Milliseconds(limits::kFenceMs), [this] {
        watch_.Cancel();
        timeout_.Cancel();
        damage_lost_ = true;
        ++timeouts_;
        first_ = std::exchange(next_, std::nullopt);
        lost_(Lost::kTimeout);
        Advance();
      }));
}

void FenceGate::HandOn(Frame frame) {
  timeouts_ = 0;
  if (std::exchange(damage_lost_, false)) {
    frame.damage = Damage::Full();
    frame.damage_is_source = false;
  }
  ready_(std::move(frame));
}

}  // namespace kine
