// EncoderChoice -> Encoder: the only switch over the encoders. Every refusal is
// kept with its reason.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "encode/encoder.h"

namespace kine {

// kAuto is hardware where a test encode works, else software. The other two are
// that or nothing.
enum class EncoderChoice { kAuto, kVaapi, kSoftware };

struct EncoderRefusal {
  std::string name;
  std::string reason;
};

struct CreatedEncoder {
  std::unique_ptr<Encoder> encoder;
  EncoderChoice kind = EncoderChoice::kSoftware;  // kVaapi or kSoftware.
  std::vector<EncoderRefusal> refusals;
};

// Encode thread only. `render_node` is --render_node: the device of the
// hardware encoder, and no other; "": it looks for one. INVALID_ARGUMENT when
// `config` makes no sense; else the error names every candidate and why not it.
absl::StatusOr<CreatedEncoder> CreateEncoder(EncoderChoice choice,
                                             const EncoderConfig& config,
                                             const std::string& render_node);

// What can encode here, found out by opening each once, for /v1/info. Takes as
// long as the drivers do.
struct EncoderSurvey {
  std::vector<std::string> available;
  std::vector<EncoderRefusal> refused;
};
EncoderSurvey SurveyEncoders(const std::string& render_node);

// One encoder that there could be: what CreateEncoder() goes through.
struct EncoderCandidate {
  const char* name;
  EncoderChoice kind;
  std::function<absl::StatusOr<std::unique_ptr<Encoder>>(const EncoderConfig&)>
      create;
};
// The first of `candidates` that `choice` allows and that can be made.
absl::StatusOr<CreatedEncoder> CreateFirst(
    absl::Span<const EncoderCandidate> candidates, EncoderChoice choice,
    const EncoderConfig& config);

}  // namespace kine
