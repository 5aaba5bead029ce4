#include "encode/create_encoder.h"

#include <utility>

#include "daemon/base/status.h"
#if KINE_HAVE_X264
#include "encode/x264_encoder.h"
#endif

namespace kine {

absl::StatusOr<CreatedEncoder> CreateEncoder(EncoderChoice choice,
                                             const EncoderConfig& config) {
  CreatedEncoder created;
  created.refusals = UnavailableEncoders();
  switch (choice) {
    case EncoderChoice::kAuto:
    case EncoderChoice::kSoftware: {
#if KINE_HAVE_X264
      KINE_ASSIGN_OR_RETURN(created.encoder, CreateX264Encoder(config));
      return created;
#else
      static_cast<void>(config);
      break;
#endif
    }
  }
  return absl::UnimplementedError("no encoder: x264: not compiled in (X264=0)");
}

std::vector<EncoderRefusal> UnavailableEncoders() {
#if KINE_HAVE_X264
  return {};
#else
  return {{"x264", "not compiled in (X264=0)"}};
#endif
}

std::vector<std::string> AvailableEncoders() {
#if KINE_HAVE_X264
  return {"x264"};
#else
  return {};
#endif
}

}  // namespace kine
