#include "encode/create_encoder.h"

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "daemon/base/status.h"
#include "encode/va/va_encoder.h"
#if KINE_HAVE_X264
#include "encode/x264_encoder.h"
#endif

namespace kine {
namespace {

absl::StatusOr<std::unique_ptr<Encoder>> CreateVaapi(
    const EncoderConfig& config, const std::string& render_node) {
  auto encoder = CreateVaEncoder(config, {.render_node = render_node});
  if (encoder.ok() || render_node.empty()) return encoder;
  return WithContext("--render_node", encoder.status());
}

absl::StatusOr<std::unique_ptr<Encoder>> CreateX264(
    const EncoderConfig& config) {
#if KINE_HAVE_X264
  return CreateX264Encoder(config);
#else
  static_cast<void>(config);
  return absl::UnimplementedError("not compiled in (X264=0)");
#endif
}

std::array<EncoderCandidate, 2> Candidates(const std::string& render_node) {
  return {{{"vaapi", EncoderChoice::kVaapi,
            [render_node](const EncoderConfig& config) {
              return CreateVaapi(config, render_node);
            }},
           {"x264", EncoderChoice::kSoftware, &CreateX264}}};
}

}  // namespace

absl::StatusOr<CreatedEncoder> CreateFirst(
    absl::Span<const EncoderCandidate> candidates, EncoderChoice choice,
    const EncoderConfig& config) {
  CreatedEncoder created;
  for (const EncoderCandidate& candidate : candidates) {
    if (choice != EncoderChoice::kAuto && choice != candidate.kind) continue;
    auto encoder = candidate.create(config);
    if (encoder.ok()) {
      created.encoder = *std::move(encoder);
      created.kind = candidate.kind;
      return created;
    }
    if (absl::IsInvalidArgument(encoder.status())) return encoder.status();
    created.refusals.push_back(
        {candidate.name, std::string(encoder.status().message())});
  }
  return absl::UnimplementedError(absl::StrCat(
      "no encoder: ", absl::StrJoin(created.refusals, "; ",
                                    [](std::string* out, const auto& refusal) {
                                      absl::StrAppend(out, refusal.name, ": ",
                                                      refusal.reason);
                                    })));
}

absl::StatusOr<CreatedEncoder> CreateEncoder(EncoderChoice choice,
                                             const EncoderConfig& config,
                                             const std::string& render_node) {
  return CreateFirst(Candidates(render_node), choice, config);
}

EncoderSurvey SurveyEncoders(const std::string& render_node) {
  EncoderSurvey survey;
  for (const EncoderCandidate& candidate : Candidates(render_node)) {
    const auto encoder = candidate.create(EncoderConfig{});
    if (encoder.ok()) {
      survey.available.push_back(candidate.name);
    } else {
      survey.refused.push_back(
          {candidate.name, std::string(encoder.status().message())});
    }
  }
  return survey;
}

}  // namespace kine
