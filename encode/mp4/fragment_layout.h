// One fragment, written and read back:
//
//   moof( mfhd traf( tfhd tfdt trun ) skip )  mdat( samples )
//
// Self-contained: offsets count from the moof, the decode time is absolute. The
// skip box ends with two CRC-32C: of the mdat's payload, and of the moof up to
// there, so that no damaged bit behind the durable mark goes unseen. (Not a
// uuid box: ffmpeg 5.1 and Chromium refuse the whole file when it is cut within
// one.)
//
// Pure functions; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace kine::mp4 {

// Bytes that several hold, and nobody changes.
using SharedBytes = std::shared_ptr<const std::vector<std::byte>>;
inline SharedBytes Share(std::vector<std::byte> bytes) {
  return std::make_shared<const std::vector<std::byte>>(std::move(bytes));
}

// One coded picture. `data`, never null, is AVCC framed; a keyframe carries its
// SPS and PPS.
struct Sample {
  SharedBytes data;
  // Ticks (limits::kMediaTimeScale) from the first frame of the recording. One
  // that is not after the sample before it is moved to one tick after that.
  uint64_t time = 0;
  bool keyframe = false;
  uint16_t priority = 0;  // See Priority().
};

// The degradation priority that carries activity: bits 0-14 the damaged
// macroblocks (saturated), bit 15 whether an agent was active.
uint16_t Priority(uint32_t damaged_macroblocks, bool agent_active);
constexpr uint16_t DamageOf(uint16_t priority) { return priority & 0x7fff; }

inline constexpr uint64_t kMdatHeaderBytes = 8;
// Of a moof: a sample is 12 bytes in it.
constexpr uint64_t MoofBytes(uint64_t samples) { return 120 + 12 * samples; }
// The largest a reader takes for one: 87,000 samples in half a second.
inline constexpr uint64_t kMoofBytesMax = 1u << 20;

// Times strictly increase by at most kSampleTicksMax, and `until` is after the
// last.
std::vector<std::byte> BuildFragment(uint32_t sequence,
                                     std::span<const Sample> samples,
                                     uint64_t until);

struct ParsedMoof {
  struct Entry {
    uint32_t duration = 0;
    uint32_t size = 0;
    bool keyframe = false;
    uint16_t priority = 0;
  };
  std::vector<Entry> samples;  // Not empty.
  uint64_t decode_time = 0;
  uint64_t payload_bytes = 0;  // Of all samples.
  uint32_t payload_crc = 0;
  bool crc_good = false;  // The moof's own.
};

// The same fragment at another time: `moof`, the bytes before its mdat, begins
// at `decode_time`, and its last sample lasts `last_duration` ticks (at most
// kSampleTicksMax). False, and nothing changed, when it cannot be a moof of
// BuildFragment()'s.
bool RetimeMoof(std::span<std::byte> moof, uint64_t decode_time,
                uint64_t last_duration);

// DATA_LOSS, with what is wrong, for anything that BuildFragment() does not
// write.
absl::StatusOr<ParsedMoof> ParseMoof(std::span<const std::byte> moof);

}  // namespace kine::mp4
