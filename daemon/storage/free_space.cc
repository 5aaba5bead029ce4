#include "daemon/storage/free_space.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "daemon/base/fd.h"
#include "daemon/base/limits.h"
#include "daemon/base/status.h"
#include "daemon/storage/blocking_io.h"
#include "daemon/storage/directory.h"

namespace kine {
namespace {

constexpr char kBallast[] = "ballast";

absl::Status Allocate(int fd, uint64_t bytes) {
  // Not posix_fallocate(), which would write zeros where the file system
  // cannot.
  if (::fallocate(fd, 0, 0, static_cast<off_t>(bytes)) != 0)
    return ReserveErrorStatus(errno);
  if (::fsync(fd) != 0) return ErrnoStatus(errno, "fsync");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<uint64_t> FreeBytes(int fd) {
  struct statvfs info;
  int result;
  do {
    result = ::fstatvfs(fd, &info);
  } while (result != 0 && errno == EINTR);
  if (result != 0) return ErrnoStatus(errno, "fstatvfs");
  return static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
}

absl::Status CheckFreeSpace(int fd) {
  KINE_ASSIGN_OR_RETURN(const uint64_t free, FreeBytes(fd));
  if (free >= limits::kFreeSpaceFloorBytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("disk full: ", free, " bytes are free, the floor is ",
                   limits::kFreeSpaceFloorBytes));
}

absl::Status EnsureBallast(int dir_fd, uint64_t bytes) {
  KINE_ASSIGN_OR_RETURN(const UniqueFd fd,
                        OpenBeneath(dir_fd, kBallast, O_RDWR | O_CREAT));
  struct stat info;
  if (::fstat(fd.get(), &info) != 0) return ErrnoStatus(errno, "fstat");
  if (static_cast<uint64_t>(info.st_blocks) * 512 >= bytes)
    return absl::OkStatus();
  absl::Status status;
  const auto free = FreeBytes(dir_fd);
  if (!free.ok()) {
    status = free.status();
  } else if (*free < 2 * bytes) {
    status = absl::ResourceExhaustedError(absl::StrCat(
        "no ballast of ", bytes, " bytes: only ", *free, " are free"));
  } else {
    status = Allocate(fd.get(), bytes);
  }
  if (status.ok()) return SyncDirectory(dir_fd);
  // A part of it would be no use. The first error counts.
  (void)::unlinkat(dir_fd, kBallast, 0);
  return status;
}

absl::Status ReleaseBallast(int dir_fd) {
  if (::unlinkat(dir_fd, kBallast, 0) != 0 && errno != ENOENT)
    return ErrnoStatus(errno, "unlink of the ballast");
  return absl::OkStatus();
}

}  // namespace kine
