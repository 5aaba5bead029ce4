// The software encoder: own colour conversion into a kept picture, libx264 told
// which macroblocks of it are unchanged. Built only with X264=1.
//
// x264 runs in its constant-QP mode with the limits of that mode opened wide,
// and gets each frame's QP from RateControl: CRF and ABR would scan a half-size
// copy of every frame first (a third of the cost of a small change). Measured
// choices are beside the parameters in x264_encoder.cc.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "encode/encoder.h"

namespace kine {

// INVALID_ARGUMENT when `config` makes no sense. The library is opened with the
// first frame, whose size it needs.
absl::StatusOr<std::unique_ptr<Encoder>> CreateX264Encoder(
    const EncoderConfig& config);

}  // namespace kine
