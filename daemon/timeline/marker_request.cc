#include "daemon/timeline/marker_request.h"

#include "daemon/base/limits.h"
#include "daemon/base/limits/timeline.h"
#include "daemon/base/record_text.h"
#include "daemon/timeline/timeline_names.h"
#include "ipc/json_in.h"
#include "ipc/json_out.h"

namespace kine {
namespace {

constexpr int64_t kMicrosMax = 1000 * limits::kMaxDurationMaxMs;

void BindAt(JsonObject& o, std::optional<absl::Time>& at) {
  std::string text;
  o.Text("at", text, {.min = 1, .max = 64});
  if (!o.Has("at")) return;
  absl::Time parsed;
  std::string error;
  if (absl::ParseTime(absl::RFC3339_full, text, &parsed, &error))
    at = parsed;
  else
    o.Refuse("at", "is no RFC 3339 time, such as 2026-01-31T12:00:00.25Z");
}

}  // namespace

const char* MarkerKindName(MarkerKind kind) {
  for (const auto& row : kMarkerKinds)
    if (row.value == kind) return row.name;
  return "";
}

void BindMarkerRequest(JsonObject& o, MarkerRequest& request) {
  o.Text("label", request.label, {.min = 1, .max = limits::kMarkerLabelMax},
         JsonNeed::kRequired);
  o.Enum("kind", request.kind, kMarkerKinds);
  o.Int("at_media_us", request.at_media_us, 0, kMicrosMax);
  BindAt(o, request.at);
  o.Int("at_mono_us", request.at_mono_us, 0);
  o.Int("duration_us", request.duration_us, 0, kMicrosMax);
  o.TextMap(
      "attrs", request.attributes, limits::kMarkerAttributesMax,
      {.min = 1, .max = limits::kLabelKeyMax, .charset = JsonTextRule::kId},
      {.max = limits::kLabelValueMax});
  if (int{o.Has("at_media_us")} + int{o.Has("at")} + int{o.Has("at_mono_us")} >
      1) {
    o.Refuse(o.Has("at_mono_us") ? "at_mono_us" : "at",
             "names the moment a second time; give one of at_media_us, at "
             "and at_mono_us, or none for now");
  }
}

absl::StatusOr<MarkerRequest> ParseMarkerRequest(absl::string_view text) {
  MarkerRequest request;
  const absl::Status bound = BindJson(
      text, {}, [&request](JsonObject& o) { BindMarkerRequest(o, request); });
  if (!bound.ok()) return bound;
  return request;
}

std::string ToJson(const MarkerRequest& request) {
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  out.Field("label", request.label);
  out.Field("kind", MarkerKindName(request.kind));
  out.Field("at_media_us", request.at_media_us);
  if (request.at) out.Field("at", TimeText(*request.at));
  out.Field("at_mono_us", request.at_mono_us);
  out.Field("duration_us", request.duration_us);
  out.Field("attrs", request.attributes);
  out.End();
  return text;
}

}  // namespace kine
