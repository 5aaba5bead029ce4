#include "daemon/recorder/fd_byte_source.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "daemon/base/status.h"
#include "daemon/storage/blocking_io.h"

namespace kine {

absl::StatusOr<FdByteSource> FdByteSource::Open(int fd, uint64_t bytes_max) {
  struct stat info;
  if (::fstat(fd, &info) != 0) return ErrnoStatus(errno, "fstat of the video");
  return FdByteSource(fd,
                      std::min(static_cast<uint64_t>(info.st_size), bytes_max));
}

absl::StatusOr<size_t> FdByteSource::ReadAt(uint64_t offset,
                                            std::span<std::byte> into) {
  if (offset >= size_) return size_t{0};
  const uint64_t left = size_ - offset;
  if (into.size() > left) into = into.first(static_cast<size_t>(left));
  return ReadFully(fd_, offset, into);
}

}  // namespace kine
