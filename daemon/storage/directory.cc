#include "daemon/storage/directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "daemon/base/limits.h"
#include "daemon/base/log.h"
#include "daemon/base/status.h"

namespace kine {
namespace {

constexpr int kDirectoryFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

// openat2 with the three RESOLVE flags, by hand. Returns -1 with errno.
int OpenByComponent(int dir_fd, const std::vector<std::string>& components,
                    int flags, mode_t mode) {
  UniqueFd parent;
  for (size_t i = 0; i + 1 < components.size(); ++i) {
    UniqueFd next(::openat(i == 0 ? dir_fd : parent.get(),
                           components[i].c_str(),
                           O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!next.valid()) return -1;
    parent = std::move(next);
  }
  return ::openat(parent.valid() ? parent.get() : dir_fd,
                  components.back().c_str(), flags | O_NOFOLLOW, mode);
}

int OpenResolved(int dir_fd, const std::string& path,
                 const std::vector<std::string>& components, int flags,
                 mode_t mode) {
  const bool creates =
      (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
  open_how how{};
  how.flags = static_cast<uint64_t>(flags);
  how.mode = creates ? mode : 0;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const long fd =
      ::syscall(SYS_openat2, dir_fd, path.c_str(), &how, sizeof how);
  // EPERM may also be the file's own answer; the second attempt repeats it.
  if (fd >= 0 || (errno != ENOSYS && errno != EPERM))
    return static_cast<int>(fd);
  return OpenByComponent(dir_fd, components, flags, mode);
}

absl::Status RemoveTreeBelow(int dir_fd, const std::string& name, int depth) {
  if (::unlinkat(dir_fd, name.c_str(), 0) == 0 || errno == ENOENT)
    return absl::OkStatus();
  if (errno != EISDIR) return ErrnoStatus(errno, "unlink");
  if (depth >= limits::kDirectoryDepthMax) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "directories nested more than ", limits::kDirectoryDepthMax, " deep"));
  }
  {
    const UniqueFd child(::openat(dir_fd, name.c_str(), kDirectoryFlags));
    if (!child.valid()) return ErrnoStatus(errno, "open of a directory");
    struct stat outer, inner;
    if (::fstat(dir_fd, &outer) != 0 || ::fstat(child.get(), &inner) != 0)
      return ErrnoStatus(errno, "fstat");
    if (outer.st_dev != inner.st_dev) {
      return absl::FailedPreconditionError(
          absl::StrCat(Quoted(name), " is another file system"));
    }
    KINE_ASSIGN_OR_RETURN(const auto names, ListDirectory(child.get()));
    for (const std::string& entry : names)
      KINE_RETURN_IF_ERROR(RemoveTreeBelow(child.get(), entry, depth + 1));
  }
  if (::unlinkat(dir_fd, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT)
    return ErrnoStatus(errno, "rmdir");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<UniqueFd> OpenBeneath(int dir_fd, const std::string& path,
                                     int flags, mode_t mode) {
  const std::vector<std::string> components = absl::StrSplit(path, '/');
  for (const std::string& component : components) {
    if (component.empty() || component == "..") {
      return absl::InvalidArgumentError(
          absl::StrCat(Quoted(path), " is no path below a directory"));
    }
  }
  const bool directory =
      (flags & O_DIRECTORY) != 0 && (flags & O_TMPFILE) != O_TMPFILE;
  flags |= O_CLOEXEC | O_NOCTTY;
  // The open of a FIFO would wait for its other end.
  const bool guard = !directory && (flags & (O_PATH | O_NONBLOCK)) == 0;
  UniqueFd fd(OpenResolved(dir_fd, path, components,
                           guard ? flags | O_NONBLOCK : flags, mode));
  if (!fd.valid()) return ErrnoStatus(errno, "open");
  struct stat info;
  if (::fstat(fd.get(), &info) != 0) return ErrnoStatus(errno, "fstat");
  if (!directory && !S_ISREG(info.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat(Quoted(path), " is not a regular file"));
  }
  // io_uring takes O_NONBLOCK seriously for regular files: EAGAIN.
  if (guard && ::fcntl(fd.get(), F_SETFL, flags & ~O_NONBLOCK) != 0)
    return ErrnoStatus(errno, "fcntl(F_SETFL)");
  return fd;
}

absl::StatusOr<UniqueFd> MakeDirectory(int dir_fd, const std::string& name) {
  if (::mkdirat(dir_fd, name.c_str(), 0700) != 0 && errno != EEXIST)
    return ErrnoStatus(errno, "mkdir");
  return OpenBeneath(dir_fd, name, O_RDONLY | O_DIRECTORY);
}

absl::StatusOr<UniqueFd> OpenNameless(int dir_fd) {
  UniqueFd fd(::openat(dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (fd.valid()) return fd;
  if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)
    return ErrnoStatus(errno, "open(O_TMPFILE)");
  for (int i = 0;; ++i) {
    const std::string name = ".spool." + std::to_string(i);
    UniqueFd named(::openat(dir_fd, name.c_str(),
                            O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW,
                            0600));
    if (!named.valid() && errno == EEXIST && i < 100) continue;
    if (!named.valid()) return ErrnoStatus(errno, "open");
    (void)::unlinkat(dir_fd, name.c_str(), 0);  // Tried; it works without.
    return named;
  }
}

absl::StatusOr<std::vector<std::string>> ListDirectory(int dir_fd) {
  // A descriptor of its own: the position belongs to the open directory.
  UniqueFd own(::openat(dir_fd, ".", kDirectoryFlags));
  if (!own.valid()) return ErrnoStatus(errno, "open of a directory");
  struct Closer {
    void operator()(DIR* dir) const { ::closedir(dir); }
  };
  const std::unique_ptr<DIR, Closer> dir(::fdopendir(own.get()));
  if (dir == nullptr) return ErrnoStatus(errno, "fdopendir");
  (void)own.Release();  // closedir() closes it.
  std::vector<std::string> names;
  while (true) {
    errno = 0;
    const dirent* const entry = ::readdir(dir.get());
    if (entry == nullptr) break;
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (names.size() == limits::kDirectoryEntriesMax) {
      return absl::ResourceExhaustedError(
          absl::StrCat("more than ", limits::kDirectoryEntriesMax,
                       " entries in one directory"));
    }
    names.push_back(name);
  }
  if (errno != 0) return ErrnoStatus(errno, "readdir");
  std::sort(names.begin(), names.end());
  return names;
}

absl::Status RemoveTree(int dir_fd, const std::string& name) {
  return RemoveTreeBelow(dir_fd, name, 0);
}

absl::Status SyncDirectory(int dir_fd) {
  if (::fsync(dir_fd) != 0 && errno != EINVAL)
    return ErrnoStatus(errno, "fsync of a directory");
  return absl::OkStatus();
}

}  // namespace kine
