#include "encode/picture/dmabuf_mapping.h"

#include <drm_fourcc.h>
#include <linux/dma-buf.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_format.h"
#include "daemon/base/status.h"

namespace kine {
namespace {

// Memory that is no dmabuf refuses, and needs none of it.
void Sync(int fd, uint64_t flags) {
  dma_buf_sync sync = {flags};
  while (::ioctl(fd, DMA_BUF_IOCTL_SYNC, &sync) != 0 && errno == EINTR) {
  }
}

}  // namespace

absl::StatusOr<DmabufMapping> DmabufMapping::Create(Frame& frame) {
  if (frame.format.modifier != DRM_FORMAT_MOD_LINEAR) {
    return absl::UnimplementedError(
        absl::StrFormat("modifier 0x%x cannot be read by the processor",
                        frame.format.modifier));
  }
  DmabufMapping mapping(frame);
  for (size_t i = 0; i < static_cast<size_t>(frame.plane_count); ++i) {
    Plane& plane = frame.planes[i];
    const off_t end = ::lseek(plane.fd, 0, SEEK_END);
    if (end <= static_cast<off_t>(plane.offset)) {
      return absl::UnimplementedError("a plane is outside of its dmabuf");
    }
    Part& part = mapping.parts_[i];
    const auto size = static_cast<size_t>(end);
    void* const memory =
        ::mmap(nullptr, size, PROT_READ, MAP_SHARED, plane.fd, 0);
    if (memory == MAP_FAILED) {
      const int error = errno;
      return absl::UnimplementedError(
          ErrnoStatus(error, "mapping a dmabuf").message());
    }
    part = {memory, size, plane.fd};
    Sync(plane.fd, DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ);
    plane.data = static_cast<const std::byte*>(memory) + plane.offset;
    plane.size = size - plane.offset;
  }
  return mapping;
}

DmabufMapping::DmabufMapping(DmabufMapping&& other) noexcept
    : frame_(other.frame_), parts_(std::exchange(other.parts_, {})) {}

DmabufMapping::~DmabufMapping() {
  for (size_t i = 0; i < parts_.size(); ++i) {
    const Part& part = parts_[i];
    if (part.memory == nullptr) continue;
    frame_->planes[i].data = nullptr;
    frame_->planes[i].size = 0;
    Sync(part.fd, DMA_BUF_SYNC_END | DMA_BUF_SYNC_READ);
    ::munmap(part.memory, part.size);
  }
}

}  // namespace kine
