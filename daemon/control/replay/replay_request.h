// ReplayRequest: the body of POST /v1/replays, checked.
//
// Values only; any thread. Errors are those of ipc/json_in.h.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ipc/recording_request.h"

namespace kine {

class JsonObject;

struct ReplayRequest {
  std::string id;                       // Of the recording; "": chosen here.
  std::optional<SourceRequest> source;  // None: the one that is kept.
  int seconds = 0;
  std::map<std::string, std::string> labels;
  std::string expect_instance;  // "" = any.
};

// Reads all members into `request`.
void BindReplayRequest(JsonObject& object, ReplayRequest& request);
absl::StatusOr<ReplayRequest> ParseReplayRequest(absl::string_view text);

// Canonical: equal requests give equal texts. Without `expect_instance`, which
// is no part of what is asked for.
std::string ToJson(const ReplayRequest& request);

}  // namespace kine
