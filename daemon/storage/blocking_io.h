// The blocking system calls behind FileIo, with short transfers and EINTR
// finished inside. For worker threads, start-up and one-shot modes; never on a
// loop's thread. Statuses carry the errno and the operation, not the path.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kine {

// Writes all of `data` at `offset`, or fails.
absl::Status WriteFully(int fd, uint64_t offset,
                        std::span<const std::byte> data);

// Reads until `data` is full or the file ends; returns the bytes read.
absl::StatusOr<size_t> ReadFully(int fd, uint64_t offset,
                                 std::span<std::byte> data);

// fdatasync.
absl::Status SyncData(int fd);

// fallocate(FALLOC_FL_KEEP_SIZE); UNIMPLEMENTED where the file system cannot.
absl::Status ReserveSpace(int fd, uint64_t offset, uint64_t length);

// The status of a fallocate that failed with `error`.
absl::Status ReserveErrorStatus(int error);

// Cuts or extends the file to `size`, which also gives back what is reserved
// behind it.
absl::Status Truncate(int fd, uint64_t size);

// Reads from a small file, at most `max_bytes` (RESOURCE_EXHAUSTED above).
// `path` is opened by OpenBeneath().
absl::StatusOr<std::string> ReadSmallFile(int dir_fd, const std::string& path,
                                          size_t max_bytes);

}  // namespace kine
