// WriteTestMovie: packets into a finished MP4, by what writes the recordings.
//
// Any thread; blocks.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "encode/encoder.h"

namespace kine {

// `fd` is an empty file. Returns its size. INVALID_ARGUMENT when the packets
// are no stream that a file can be made of: no keyframe first, no parameter
// sets.
absl::StatusOr<uint64_t> WriteTestMovie(std::vector<Packet> packets, int fd);

}  // namespace kine
