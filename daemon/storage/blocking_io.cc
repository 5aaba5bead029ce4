#include "daemon/storage/blocking_io.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "daemon/base/status.h"
#include "daemon/storage/directory.h"

namespace kine {
namespace {

// The kernel moves at most 0x7ffff000 bytes a call.
constexpr size_t kTransferMax = 1u << 30;

}  // namespace

absl::Status WriteFully(int fd, uint64_t offset,
                        std::span<const std::byte> data) {
  while (!data.empty()) {
    const ssize_t n =
        ::pwrite(fd, data.data(), std::min(data.size(), kTransferMax),
                 static_cast<off_t>(offset));
    if (n < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(errno, "write");
    }
    // POSIX allows no such thing for a regular file; never spin on it.
    if (n == 0) return ErrnoStatus(EIO, "write");
    data = data.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return absl::OkStatus();
}

absl::StatusOr<size_t> ReadFully(int fd, uint64_t offset,
                                 std::span<std::byte> data) {
  size_t total = 0;
  while (total < data.size()) {
    const ssize_t n = ::pread(fd, data.data() + total,
                              std::min(data.size() - total, kTransferMax),
                              static_cast<off_t>(offset + total));
    if (n < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(errno, "read");
    }
    if (n == 0) break;
    total += static_cast<size_t>(n);
  }
  return total;
}

absl::Status SyncData(int fd) {
  // EINTR is not retried: the kernel may already have forgotten the error that
  // the interrupted call would have reported.
  if (::fdatasync(fd) != 0) return ErrnoStatus(errno, "fdatasync");
  return absl::OkStatus();
}

absl::Status ReserveSpace(int fd, uint64_t offset, uint64_t length) {
  int result;
  do {
    result = ::fallocate(fd, FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                         static_cast<off_t>(length));
  } while (result != 0 && errno == EINTR);
  if (result != 0) return ReserveErrorStatus(errno);
  return absl::OkStatus();
}

absl::Status ReserveErrorStatus(int error) {
  // Where the kernel knows the call but not the file system: EOPNOTSUPP, which
  // ErrnoStatus turns into UNIMPLEMENTED.
  return ErrnoStatus(error == ENOSYS ? EOPNOTSUPP : error, "fallocate");
}

absl::Status Truncate(int fd, uint64_t size) {
  int result;
  do {
    result = ::ftruncate(fd, static_cast<off_t>(size));
  } while (result != 0 && errno == EINTR);
  if (result != 0) return ErrnoStatus(errno, "ftruncate");
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadSmallFile(int dir_fd, const std::string& path,
                                          size_t max_bytes) {
  KINE_ASSIGN_OR_RETURN(const UniqueFd fd, OpenBeneath(dir_fd, path, O_RDONLY));
  std::string content;
  // One byte more than is allowed tells a file that is too long; in steps, so
  // that a small file costs little.
  while (content.size() <= max_bytes) {
    const size_t old_size = content.size();
    const size_t step =
        std::min<size_t>(max_bytes + 1 - old_size, old_size + 4096);
    content.resize(old_size + step);
    KINE_ASSIGN_OR_RETURN(const size_t n,
                          ReadFully(fd.get(), old_size,
                                    std::as_writable_bytes(
                                        std::span(content).subspan(old_size))));
    content.resize(old_size + n);
    if (n < step) return content;
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("file is larger than ", max_bytes, " bytes"));
}

}  // namespace kine
