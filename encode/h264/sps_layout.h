// Where the parts of a sequence parameter set lie, for its rewrite.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "encode/h264/sps.h"

namespace kine::h264 {

// Bit positions in the raw NAL unit. Each part begins with its flag and ends
// where the next begins.
struct SpsLayout {
  Sps sps;
  uint64_t cropping = 0;
  uint64_t vui = 0;
  // Without a VUI all of these are `end`.
  uint64_t aspect_ratio = 0;
  uint64_t signal = 0;
  uint64_t chroma_location = 0;
  uint64_t timing = 0;
  uint64_t hrd = 0;
  uint64_t restriction = 0;
  uint64_t end = 0;  // The trailing bits.
};

absl::StatusOr<SpsLayout> ReadSpsLayout(std::span<const std::byte> raw);

// The VUI's parts, with their flags.
class BitWriter;
void WriteCropping(const std::optional<Cropping>& cropping, BitWriter& w);
void WriteSignal(const std::optional<VideoSignal>& signal, BitWriter& w);
void WriteChromaLocation(const std::optional<ChromaLocation>& location,
                         BitWriter& w);
void WriteTiming(const std::optional<Timing>& timing, BitWriter& w);
void WriteRestriction(const std::optional<BitstreamRestriction>& restriction,
                      BitWriter& w);

}  // namespace kine::h264
