// EncoderSpec -> Encoder: the only switch over the encoders. Every refusal is
// kept with its reason.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "encode/encoder.h"

namespace kine {

enum class EncoderChoice { kAuto, kSoftware };

struct EncoderRefusal {
  std::string name;
  std::string reason;
};

struct CreatedEncoder {
  std::unique_ptr<Encoder> encoder;
  std::vector<EncoderRefusal> refusals;
};

// Encode thread only.
absl::StatusOr<CreatedEncoder> CreateEncoder(EncoderChoice choice,
                                             const EncoderConfig& config);

// The names compiled into this binary and why others are missing, for
// /v1/info. Any thread.
std::vector<EncoderRefusal> UnavailableEncoders();
std::vector<std::string> AvailableEncoders();

}  // namespace kine
