// The `alive` file: up to which time the recorder knew that the picture had not
// changed. On a still screen no fragment is written, and a crash would else
// make the video end at its last change.
//
// Two slots of 32 bytes, overwritten in turn; all numbers little endian:
//
//   0 "kali" | 4 version (1) | 8 sequence | 16 ticks | 24 zero | 28 CRC-32C
//
// A torn write damages one slot and the other still counts. Written, never
// synced: it survives the process; after a power loss up to as much stillness
// is forgotten as the kernel had not written back, but never a picture.
//
// The functions are pure. AliveWriter: control loop only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "absl/functional/any_invocable.h"
#include "daemon/base/loop.h"
#include "daemon/storage/file_io.h"

namespace kine {

inline constexpr size_t kAliveSlotBytes = 32;
inline constexpr size_t kAliveFileBytes = 2 * kAliveSlotBytes;
inline constexpr char kAliveFileName[] = "alive";

std::array<std::byte, kAliveSlotBytes> EncodeAliveSlot(uint64_t sequence,
                                                       uint64_t ticks);

// The newest time in a file's bytes, in ticks; nothing when no slot is whole.
std::optional<uint64_t> DecodeAlive(std::span<const std::byte> file);

// Writes the file every limits::kAliveMs while it runs. Errors are not
// reported: the notes only refine a crash, and the video's own writes say when
// the disk fails. Destroy after Stop()'s callback, or after the FileIo.
class AliveWriter {
 public:
  // `fd` stays open and owned by the caller; `ticks` gives the time to note.
  AliveWriter(Loop& loop, FileIo& file_io, int fd,
              absl::AnyInvocable<uint64_t()> ticks);

  // Runs (the first note one interval from now), or pauses. Repeatable.
  void Run();
  void Pause() { timer_.Cancel(); }

  // `stopped` runs when nothing is being written; now, if that is so already.
  void Stop(absl::AnyInvocable<void()> stopped);

 private:
  void Write();

  Loop& loop_;
  FileIo& file_io_;
  const int fd_;
  absl::AnyInvocable<uint64_t()> ticks_;
  uint64_t sequence_ = 0;
  bool busy_ = false;
  absl::AnyInvocable<void()> stopped_;
  LoopHandle timer_;
};

}  // namespace kine
