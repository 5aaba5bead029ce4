// The two `moov` boxes of a recording: the one without samples at its start,
// and the one index that finishes it; and how many bytes the latter takes,
// without building it.
//
// Pure functions; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "encode/mp4/init_segment.h"
#include "encode/mp4/sample_index.h"

namespace kine::mp4 {

inline constexpr uint32_t kTrackId = 1;
// Sample flags but for the degradation priority in their low 16 bits:
// depends on no other sample; depends on others and is no sync sample.
inline constexpr uint32_t kKeyframeFlags = 0x0200'0000;
inline constexpr uint32_t kOtherFlags = 0x0101'0000;

// `width` and `height` of the first picture; `stsd` is the whole box.
std::vector<std::byte> BuildInitMoov(uint16_t width, uint16_t height,
                                     std::span<const std::byte> stsd);

// The finished moov. Its size is a multiple of 8, so that what it leaves of a
// reserve is 0 or enough for a `free` box. `index` is complete and not empty.
std::vector<std::byte> BuildFinishedMoov(const FileHeader& header,
                                         const SampleIndex& index,
                                         uint64_t last_duration);

// The size of that box.
uint64_t FinishedMoovBytes(const FileHeader& header, const IndexCounts& counts,
                           uint64_t last_duration);
// The most it can be for any last duration.
uint64_t FinishedMoovBytesMax(const FileHeader& header,
                              const IndexCounts& counts);

// Beside the moov itself: in front it is followed by the header of the large
// mdat; at the end it is preceded by that of the free box which hides it.
inline constexpr uint64_t kLargeMdatHeaderBytes = 16;
inline constexpr uint64_t kFreeHeaderBytes = 8;

bool FitsReserve(const FileHeader& header, uint64_t moov_bytes);
// Of a file whose fragments end at `end`.
uint64_t FinishedFileBytes(const FileHeader& header, uint64_t end,
                           uint64_t moov_bytes);

}  // namespace kine::mp4
