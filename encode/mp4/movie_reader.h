// ReadMovie: the sample tables of a finished recording (or any MP4 with one
// video track and no reordering), for tests, views and `kinectl doctor`.
//
// Any thread. Trusts nothing in the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "encode/mp4/byte_source.h"
#include "encode/mp4/sample_index.h"

namespace kine::mp4 {

struct Movie {
  uint16_t width = 0;
  uint16_t height = 0;
  uint32_t time_scale = 0;
  uint64_t duration_ticks = 0;  // The media's, by mdhd.
  uint64_t moov_offset = 0;
  uint64_t moov_bytes = 0;
  std::vector<std::byte> stsd;  // The whole box.
  SampleIndex index;            // Complete.
  uint64_t last_duration = 0;   // Of the last sample, by stts.
  uint64_t chapters = 0;        // Of its text track, without a lead.
};

// DATA_LOSS when there is no finished moov or its tables contradict each other
// or point outside the file; RESOURCE_EXHAUSTED when the moov or the index is
// larger than `memory_max`; the errors of `source`.
absl::StatusOr<Movie> ReadMovie(ByteSource& source, size_t memory_max);

}  // namespace kine::mp4
