// Which samples of a recording must be decoded for the pictures asked for, and
// those pictures. The recording may be finished or still grow: then what counts
// is what its whole fragments hold.
//
// One thread; reads and decodes as it goes. The file may be finished meanwhile:
// no sample moves by that.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "daemon/frames/h264_decoder.h"
#include "encode/mp4/byte_source.h"

namespace kine::frames {

struct ExtractRequest {
  // The picture shown at this time. Behind the end of a finished file there is
  // none; of a growing one it is the last so far.
  std::optional<int64_t> at_us;
  // Instead: the one that came with most damage, as the samples say; of equals
  // the last. Never the first, in which all is new, if there is another.
  // Neither of the two: every picture.
  bool busiest = false;
  // Above 0: the finished file's own times are compact, and it was recorded for
  // so long; all times here are recorded ones.
  int64_t recorded_us = 0;
  // Of a growing file: so much was synced and need not be checked.
  uint64_t durable_bytes = 0;
  // The true size of an odd picture (its padding is cut off); 0: as coded.
  int true_width = 0;
  int true_height = 0;
};

struct Extracted {
  DecodedPicture picture;
  int64_t time_us = 0;  // When it begins to be shown.
  bool keyframe = false;
};

// Calls `sink` for each. OUT_OF_RANGE when `at_us` lies behind the end;
// FAILED_PRECONDITION for a file without one whole fragment; DATA_LOSS for a
// damaged file; RESOURCE_EXHAUSTED above the limits; the errors of `sink`.
absl::Status Extract(mp4::ByteSource& file, const ExtractRequest& request,
                     absl::FunctionRef<absl::Status(const Extracted&)> sink);

}  // namespace kine::frames
