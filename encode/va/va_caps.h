// What a driver offers: every way to encode H.264, best first, and whether it
// converts pictures. Asked once a display; never on the way of a frame.
//
// Encode thread only.
#pragma once

#include <va/va.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace kine {

// One profile at one entry point.
struct VaCodec {
  VAProfile profile = VAProfileNone;
  VAEntrypoint entrypoint = VAEntrypointEncSlice;
  // VA_RC_* bits; 0: the driver does not know the attribute, which means CQP
  // and that the attribute must not be passed.
  uint32_t rate_modes = 0;
  // VA_ENC_PACKED_HEADER_* bits that we supply: sequence, picture and slice,
  // the first two, or none.
  uint32_t packed = 0;
  uint32_t packed_offered = 0;  // Whatever we make of it.
  // 1 is best, this one fastest; 0: there is no choice.
  uint32_t quality_range = 0;
  // What it takes, in pixels; 0: not known.
  int max_width = 0;
  int max_height = 0;
};

std::string ProfileName(const VaCodec& codec);     // "High"
std::string EntrypointName(const VaCodec& codec);  // "EncSliceLP"
// "High, EncSliceLP"
std::string NameOf(const VaCodec& codec);

struct VaCaps {
  std::vector<VaCodec> codecs;  // Not empty.
  bool converts = false;        // There is a VideoProc entry point.
};

// UNIMPLEMENTED when the driver encodes no H.264.
absl::StatusOr<VaCaps> QueryVaCaps(VADisplay display);

// OK when surfaces of a config may be width x height NV12; UNIMPLEMENTED names
// the limit.
absl::Status CheckVaSurfaces(VADisplay display, VAConfigID config, int width,
                             int height);

}  // namespace kine
