// Preallocator: keeps disk space reserved ahead of a growing file, so that a
// full disk shows early and the file stays in few pieces. Loop thread only.
//
//   Advance(end of the next write) ... Finish(final size) -> done
//
// Destroy after Finish()'s callback, or after the FileIo.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "daemon/storage/file_io.h"

namespace kine {

class Preallocator {
 public:
  // Told once when the file system cannot reserve (UNIMPLEMENTED: a named
  // fallback; nothing more is tried), and each time it refuses for another
  // reason, RESOURCE_EXHAUSTED above all. Never fails a write.
  using OnRefused = FileIo::Done;

  // Reserves whole steps of `step` bytes (limits::kPreallocateBytes) from
  // `offset` on. `fd` stays open.
  Preallocator(FileIo& file_io, int fd, uint64_t offset, uint64_t step,
               OnRefused on_refused);

  // The next write ends at `end`: at least one step behind it is to be
  // reserved. At most one reservation is under way.
  void Advance(uint64_t end);

  // Waits for the reservation under way, then gives back what lies behind
  // `size`, the size of the file. No Advance() may follow.
  void Finish(uint64_t size, FileIo::Done done);

  // False once the file system has said that it cannot.
  bool supported() const { return supported_; }
  // Reserved up to here.
  uint64_t reserved() const { return reserved_; }

 private:
  void ReserveMore();
  void OnReserved(uint64_t end, absl::Status status);
  void ReleaseTail(uint64_t reserved);

  FileIo& file_io_;
  const int fd_;
  const uint64_t step_;
  OnRefused on_refused_;
  uint64_t reserved_;
  uint64_t wanted_ = 0;
  bool busy_ = false;
  bool supported_ = true;
  uint64_t final_size_ = 0;
  FileIo::Done finished_;
};

}  // namespace kine
