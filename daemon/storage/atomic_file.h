// Small state files that are always whole: written beside their place, synced,
// renamed over it, and the directory synced. Never truncated in place.
//
// One writer a file: the temporary name `.NAME.tmp` is taken over from a
// writer that died.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "daemon/storage/file_io.h"

namespace kine {

enum class IfExists {
  kReplace,
  kFail,  // ALREADY_EXISTS, and the old file stays.
};

// Gives the file `name` (no '/') in `dir_fd` the content `data`, mode 0600,
// durably. After an error the name has its old content or the new one, whole.
// Blocks.
absl::Status WriteFileAtomically(int dir_fd, const std::string& name,
                                 std::span<const std::byte> data,
                                 IfExists if_exists);

// The same on the worker of `file_io`. `dir_fd` stays open until `done`.
void WriteFileAtomically(FileIo& file_io, int dir_fd, std::string name,
                         std::vector<std::byte> data, IfExists if_exists,
                         FileIo::Done done);

}  // namespace kine
