// The sample description (`stsd`) of a recording, from its first keyframe: all
// of H.264 that this folder needs to know.
//
// Pure function; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"

namespace kine::mp4 {

// The whole stsd box: one avc3 entry with the profile of the access unit's SPS
// (AVCC framed, 4-byte lengths), BT.709 limited, square pixels. The parameter
// sets stay in band, where they may change. INVALID_ARGUMENT when the framing
// is broken, a parameter set is missing, or the profile is not one of Baseline,
// Main, Extended and High: the others may have chroma or depths that only a
// full SPS parser sees.
absl::StatusOr<std::vector<std::byte>> BuildSampleDescription(
    uint16_t width, uint16_t height, std::span<const std::byte> keyframe);

}  // namespace kine::mp4
