#include "daemon/control/replay/replay_request.h"

#include "daemon/base/limits/replay.h"
#include "ipc/json_in.h"
#include "ipc/json_out.h"

namespace kine {

void BindReplayRequest(JsonObject& object, ReplayRequest& request) {
  BindRecordingNames(object, request.id, request.labels,
                     request.expect_instance);
  SourceRequest source;
  BindSourceRequest(object, source);
  if (object.Has("source")) request.source = std::move(source);
  object.Int("seconds", request.seconds, 1, limits::kReplaySecondsMax,
             JsonNeed::kRequired);
}

absl::StatusOr<ReplayRequest> ParseReplayRequest(absl::string_view text) {
  ReplayRequest request;
  const absl::Status bound = BindJson(
      text, {}, [&request](JsonObject& o) { BindReplayRequest(o, request); });
  if (!bound.ok()) return bound;
  return request;
}

std::string ToJson(const ReplayRequest& request) {
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  out.FieldIfAny("id", request.id);
  if (request.source) WriteSourceRequest(out, *request.source);
  out.Field("seconds", request.seconds);
  out.Field("labels", request.labels);
  out.End();
  return text;
}

}  // namespace kine
