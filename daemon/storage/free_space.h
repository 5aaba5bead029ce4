// How much room a disk has, and the ballast: space taken in good times and
// given back to finalise when the disk is full. Blocking calls; any thread.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kine {

// Bytes that this user may still write to the file system of `fd`.
absl::StatusOr<uint64_t> FreeBytes(int fd);

// RESOURCE_EXHAUSTED, with both numbers, when less than
// limits::kFreeSpaceFloorBytes is free.
absl::Status CheckFreeSpace(int fd);

// Makes `<dir_fd>/ballast` with `bytes` of allocated blocks, unless it is
// there whole. RESOURCE_EXHAUSTED below twice that much free space;
// UNIMPLEMENTED where the file system cannot allocate ahead (a named
// fallback: there is no ballast then).
absl::Status EnsureBallast(int dir_fd, uint64_t bytes);

// Gives it back. OK when there is none.
absl::Status ReleaseBallast(int dir_fd);

}  // namespace kine
