// What a moov (of a growing or a finished file) says of its video track, for
// Scan() and ReadMovie(). Trusts nothing.
//
// Pure functions; any thread. The spans view the bytes given.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "absl/status/status.h"
#include "encode/mp4/sample_index.h"

namespace kine::mp4 {

struct TrackDescription {
  uint16_t width = 0;  // By tkhd.
  uint16_t height = 0;
  uint32_t time_scale = 0;
  uint64_t duration = 0;            // By mdhd.
  std::span<const std::byte> stsd;  // The whole box.
  std::span<const std::byte> stbl;  // The payload.
};

// The first video track among the boxes of a moov, or nothing.
std::optional<TrackDescription> ParseVideoTrack(
    std::span<const std::byte> moov_payload);

// How many chapters a text track among them has; one without a title, which
// leads to the first, is none.
uint64_t CountChapters(std::span<const std::byte> moov_payload);

// Adds every sample of the tables in `stbl` to `index`, and says how long the
// last one lasts. DATA_LOSS when the tables contradict each other, when samples
// are reordered or when one ends behind `file_bytes`; RESOURCE_EXHAUSTED when
// the index is full.
absl::Status ReadSampleTables(std::span<const std::byte> stbl,
                              uint64_t file_bytes, SampleIndex& index,
                              uint64_t& last_duration);

}  // namespace kine::mp4
