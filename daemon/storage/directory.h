// Directories as descriptors: nothing below them is reached through a symlink,
// and what is opened is what it should be. Blocking; any thread.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
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

// A file without a name in the directory, to read and write: nothing is left of
// it, however this process ends.
absl::StatusOr<UniqueFd> OpenNameless(int dir_fd);

// Names in the directory, sorted, without "." and "..". RESOURCE_EXHAUSTED
// above limits::kDirectoryEntriesMax.
absl::StatusOr<std::vector<std::string>> ListDirectory(int dir_fd);

// Removes `name` in `dir_fd` and all below it. Follows no symlink, enters no
// other file system, goes limits::kDirectoryDepthMax deep. OK when there is no
// such name.
absl::Status RemoveTree(int dir_fd, const std::string& name);

// fsync of a directory: names made, renamed or removed in it survive power
// loss. File systems that cannot (EINVAL) count as done.
absl::Status SyncDirectory(int dir_fd);

// FAILED_PRECONDITION when `fd` lies on a file system that machines share (NFS,
// SMB, AFS, Ceph, Lustre, Coda, OCFS2, GFS2, or a FUSE of that kind such as
// sshfs), where locks and fdatasync do not mean what recovery needs. 9p,
// virtiofs and other FUSE pass: they lend a host's directory to one guest.
absl::Status CheckLocalFileSystem(int fd);
// The rule itself: `magic` as in statfs(2), `type` as in mountinfo.
absl::Status CheckSharedFileSystem(uint32_t magic, absl::string_view type);

}  // namespace kine
