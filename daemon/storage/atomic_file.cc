#include "daemon/storage/atomic_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/fd.h"
#include "daemon/base/log.h"
#include "daemon/base/status.h"
#include "daemon/storage/blocking_io.h"
#include "daemon/storage/directory.h"

namespace kine {
namespace {

absl::Status WriteTemporary(int dir_fd, const std::string& name,
                            std::span<const std::byte> data) {
  // O_EXCL rather than O_TRUNC: never writes through what somebody planted.
  if (::unlinkat(dir_fd, name.c_str(), 0) != 0 && errno != ENOENT)
    return ErrnoStatus(errno, "unlink of a stale temporary file");
  const UniqueFd fd(
      ::openat(dir_fd, name.c_str(),
               O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.valid()) return ErrnoStatus(errno, "open of a temporary file");
  KINE_RETURN_IF_ERROR(WriteFully(fd.get(), 0, data));
  if (::fsync(fd.get()) != 0) return ErrnoStatus(errno, "fsync");
  return absl::OkStatus();
}

absl::Status GiveName(int dir_fd, const std::string& from,
                      const std::string& to, IfExists if_exists) {
  if (if_exists == IfExists::kReplace) {
    if (::renameat(dir_fd, from.c_str(), dir_fd, to.c_str()) != 0)
      return ErrnoStatus(errno, "rename");
    return absl::OkStatus();
  }
  if (::renameat2(dir_fd, from.c_str(), dir_fd, to.c_str(), RENAME_NOREPLACE) ==
      0)
    return absl::OkStatus();
  // EINVAL: the file system has no such flag; ENOSYS, EPERM: a seccomp filter.
  if (errno != EINVAL && errno != ENOSYS && errno != EPERM)
    return ErrnoStatus(errno, "rename");
  if (::linkat(dir_fd, from.c_str(), dir_fd, to.c_str(), 0) != 0)
    return ErrnoStatus(errno, "link");
  if (::unlinkat(dir_fd, from.c_str(), 0) != 0)
    return ErrnoStatus(errno, "unlink");
  return absl::OkStatus();
}

}  // namespace

absl::Status WriteFileAtomically(int dir_fd, const std::string& name,
                                 std::span<const std::byte> data,
                                 IfExists if_exists) {
  if (name.empty() || name == "." || name == ".." ||
      name.find('/') != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat(Quoted(name), " is no file name"));
  }
  const std::string temporary = absl::StrCat(".", name, ".tmp");
  absl::Status status = WriteTemporary(dir_fd, temporary, data);
  if (status.ok()) status = GiveName(dir_fd, temporary, name, if_exists);
  if (!status.ok()) {
    (void)::unlinkat(dir_fd, temporary.c_str(), 0);  // The first error counts.
    return status;
  }
  return SyncDirectory(dir_fd);
}

void WriteFileAtomically(FileIo& file_io, int dir_fd, std::string name,
                         std::vector<std::byte> data, IfExists if_exists,
                         FileIo::Done done) {
  file_io.Run(
      [dir_fd, name = std::move(name), data = std::move(data), if_exists] {
        return WriteFileAtomically(dir_fd, name, data, if_exists);
      },
      std::move(done));
}

}  // namespace kine
