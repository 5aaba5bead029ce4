// Write locks on whole files that belong to the open file, not to the process
// (fcntl F_OFD_*): they go with the last descriptor, so with a killed process.
// `fd` is open for writing. Any thread.
#pragma once

#include <sys/types.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace kine {

// UNAVAILABLE when another holds it.
absl::Status TryLockFile(int fd);

// Waits in the kernel, at most `wait` (UNAVAILABLE then). Blocks the thread,
// and uses the signal SIGRTMAX meanwhile to end the wait: for one-shot modes.
absl::Status LockFileFor(int fd, absl::Duration wait);

// The process of this user that holds the lock, found in /proc (the kernel
// does not tell owners of such locks); NOT_FOUND when none shows. One lock may
// be held by several processes that share the descriptor: the first found.
absl::StatusOr<pid_t> FindLockHolder(int fd);

// LockFileFor(); when that fails, kills the holder through a pidfd and locks.
// For recovery: a writer that does not end in time must not write on.
absl::Status LockFileOrKillHolder(int fd, absl::Duration wait);

}  // namespace kine
