// Directories as descriptors: nothing below them is reached through a symlink,
// and what is opened is what it should be. Blocking; any thread.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/base/fd.h"

namespace kine {

// Opens `path`, relative to `dir_fd`, close-on-exec, by
// openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS); where
// the kernel or a seccomp filter has no openat2, component by component with
// O_NOFOLLOW. `flags` as for open(2); `mode` with O_CREAT.
//
// Without O_DIRECTORY only a regular file is opened: a planted FIFO, device or
// socket is FAILED_PRECONDITION and does not block. A symlink anywhere, "..",
// or an absolute path is an error.
absl::StatusOr<UniqueFd> OpenBeneath(int dir_fd, const std::string& path,
                                     int flags, mode_t mode = 0600);

// Makes the directory `name` (mode 0700) unless it exists, and opens it.
absl::StatusOr<UniqueFd> MakeDirectory(int dir_fd, const std::string& name);

// Names in the directory, sorted, without "." and "..". RESOURCE_EXHAUSTED
// above limits::kDirectoryEntriesMax.
absl::StatusOr<std::vector<std::string>> ListDirectory(int dir_fd);

// Removes `name` in `dir_fd` and all below it. Follows no symlink, crosses no
// mount, goes limits::kDirectoryDepthMax deep. OK when there is no such name.
absl::Status RemoveTree(int dir_fd, const std::string& name);

// fsync of a directory: names made, renamed or removed in it survive power
// loss. File systems that cannot (EINVAL) count as done.
absl::Status SyncDirectory(int dir_fd);

// FAILED_PRECONDITION when `fd` lies on a network file system (NFS, SMB, AFS,
// Ceph, 9p, Coda, OCFS2, GFS2, or FUSE whose type names one), where locks and
// fdatasync do not mean what recovery needs. virtiofs and other FUSE pass.
absl::Status CheckLocalFileSystem(int fd);

}  // namespace kine
