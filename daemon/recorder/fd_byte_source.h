// FdByteSource: a file's first `bytes_max` bytes for encode/mp4's readers.
// Blocks; any one thread. The descriptor stays open and owned by the caller.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "encode/mp4/byte_source.h"

namespace kine {

class FdByteSource final : public mp4::ByteSource {
 public:
  static absl::StatusOr<FdByteSource> Open(int fd,
                                           uint64_t bytes_max = UINT64_MAX);

  uint64_t size() const override { return size_; }
  absl::StatusOr<size_t> ReadAt(uint64_t offset,
                                std::span<std::byte> into) override;

 private:
  FdByteSource(int fd, uint64_t size) : fd_(fd), size_(size) {}

  int fd_;
  uint64_t size_;
};

}  // namespace kine
