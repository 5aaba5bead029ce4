// MarkerRequest: the body of POST /v1/recordings/{id}/markers, checked.
//
// Values only; any thread. Errors are those of ipc/json_in.h.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace kine {

class JsonObject;

enum class MarkerKind { kAction, kChapter, kNote, kError };
const char* MarkerKindName(MarkerKind kind);

struct MarkerRequest {
  std::string label;
  MarkerKind kind = MarkerKind::kAction;
  // At most one of the three; none: now.
  std::optional<int64_t> at_media_us;
  std::optional<absl::Time> at;
  std::optional<int64_t> at_mono_us;  // Of the daemon's instance.
  std::optional<int64_t> duration_us;
  std::map<std::string, std::string> attributes;
};

// Reads all members into `request`.
void BindMarkerRequest(JsonObject& object, MarkerRequest& request);
absl::StatusOr<MarkerRequest> ParseMarkerRequest(absl::string_view text);

// Canonical: equal requests give equal texts.
std::string ToJson(const MarkerRequest& request);

}  // namespace kine
