// ByteSource: how this folder, which does no I/O, reads a file: a file
// descriptor in the programs, a string in tests and fuzzers.
//
// One thread. Errors: a failed read ends the call that made it, with its
// status; nothing is kept half done.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kine::mp4 {

class ByteSource {
 public:
  virtual ~ByteSource() = default;

  // Bytes in the file. Must not change while it is read.
  virtual uint64_t size() const = 0;

  // Fills `into` from `offset` and returns the bytes read: fewer than asked for
  // only at the end of the file.
  virtual absl::StatusOr<size_t> ReadAt(uint64_t offset,
                                        std::span<std::byte> into) = 0;
};

}  // namespace kine::mp4
