// The head of a growing recording: ftyp | free (the reserve) | moov (no
// samples), and what the finaliser must know of it later.
//
// Pure functions; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"

namespace kine::mp4 {

// Where the head's parts lie, and what the finished moov takes over from it.
struct FileHeader {
  uint64_t reserve_offset = 0;  // Of the `free` box's header; 8-aligned.
  uint64_t reserve_bytes = 0;   // Its header included; a multiple of 8.
  uint64_t moov_bytes = 0;      // The init moov stands behind the reserve.
  uint16_t width = 0;           // Of the first picture; tkhd keeps it.
  uint16_t height = 0;
  std::vector<std::byte> stsd;  // The whole box.

  uint64_t moov_offset() const { return reserve_offset + reserve_bytes; }
  uint64_t fragments_offset() const { return moov_offset() + moov_bytes; }

  friend bool operator==(const FileHeader&, const FileHeader&) = default;
};

// Two writes: `head` at 0 and `moov` at header.moov_offset(). What lies between
// must be allocated, and may read as anything (zeros from fallocate, say).
// `head` followed by anything that long and `moov` is an init segment; for
// a stream, ftyp (the first header.reserve_offset bytes of head) + moov is one.
struct InitSegment {
  std::vector<std::byte> head;  // ftyp and the header of the reserve.
  std::vector<std::byte> moov;
  FileHeader header;
};

struct InitOptions {
  // The coded size of the first picture: even, limits::kPictureSideMin..Max.
  int width = 0;
  int height = 0;
  // The first keyframe, AVCC framed, with its SPS and PPS in band.
  std::span<const std::byte> keyframe;
  uint64_t reserve_bytes = 0;  // From ReserveBytes(), or any multiple of 8.
};

// INVALID_ARGUMENT when the keyframe has no SPS or PPS, or a number is out of
// range.
absl::StatusOr<InitSegment> BuildInitSegment(const InitOptions& options);

// The whole stsd box: one avc3 entry with the profile of the access unit's SPS
// (AVCC framed, 4-byte lengths), BT.709 limited, square pixels: all of H.264
// that this folder needs to know. The parameter sets stay in band, where they
// may change. INVALID_ARGUMENT when the framing is broken, a parameter set is
// missing, or the profile is not one of Baseline, Main, Extended and High: the
// others may have chroma or depths that only a full SPS parser sees.
absl::StatusOr<std::vector<std::byte>> BuildSampleDescription(
    uint16_t width, uint16_t height, std::span<const std::byte> keyframe);

// The bytes to reserve so that the finished index fits in front of a recording
// that keeps to its limits: what its samples, fragments and keyframes need at
// most, and chapters, between limits::kReserveMinBytes and 3 % of `max_bytes`.
// A multiple of 8.
uint64_t ReserveBytes(int64_t max_duration_ms, double fps_max,
                      uint64_t max_bytes);

}  // namespace kine::mp4
