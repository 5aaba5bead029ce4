// The lines of a recording's log that a Timeline is made of.
#include <fcntl.h>

#include <string>
#include <utility>

#include "daemon/base/limits.h"
#include "daemon/base/limits/timeline.h"
#include "daemon/base/record_text.h"
#include "daemon/base/status.h"
#include "daemon/storage/append_log.h"
#include "daemon/storage/directory.h"
#include "daemon/timeline/timeline.h"
#include "daemon/timeline/timeline_names.h"
#include "ipc/json_in.h"
#include "ipc/json_out.h"

namespace kine {
namespace {

// A text of ours that was checked when it was written.
constexpr JsonTextRule kAnyText{0, limits::kLogLineBytesMax,
                                JsonTextRule::kAny};

Marker BindMarker(JsonObject& o) {
  Marker marker;
  o.Int("number", marker.number);
  o.Text("label", marker.label, kAnyText);
  o.Enum("kind", marker.kind, kMarkerKinds);
  o.Int("media_us", marker.media_us);
  o.Int("wall_us", marker.wall_us);
  o.Int("duration_us", marker.duration_us);
  o.TextMap("attrs", marker.attributes, limits::kMarkerAttributesMax, kAnyText,
            kAnyText);
  o.Text("key", marker.key, kAnyText);
  o.Text("request", marker.request, kAnyText);
  return marker;
}

CommandSpan BindCommand(JsonObject& o) {
  CommandSpan command;
  o.Text("process", command.process, kAnyText);
  o.Text("command", command.command, kAnyText);
  o.Int("media_us", command.media_us);
  o.Int("end_media_us", command.end_media_us);
  o.Text("outcome", command.outcome, kAnyText);
  o.Int("code", command.code);
  return command;
}

}  // namespace

void Timeline::AddLine(absl::string_view object) {
  // Most lines are of other types and are told by that alone.
  std::string type;
  const JsonLimits limits{limits::kLogLineBytesMax, JsonUnknown::kIgnore};
  (void)!BindJson(object, limits, [&](JsonObject& o) {
    o.Text("type", type, kAnyText);
    o.Object("data", [&](JsonObject& data) {
      int64_t media_us = 0;
      if (type == kMarkerType) return AddMarker(BindMarker(data));
      if (type == kCommandType) {
        CommandSpan command = BindCommand(data);
        if (command.end_media_us) return EndCommand(command);
        return AddCommand(std::move(command));
      }
      if (type == kPausedType) {
        data.Int("media_us", media_us);
        return AddPause({media_us, std::nullopt});
      }
      if (type == kResumedType) {
        int64_t paused_us = 0;
        data.Int("paused_us", paused_us);
        return EndPause(paused_us);
      }
      if (type == kSourceLostType) {
        std::string reason;
        data.Int("media_us", media_us);
        data.Text("reason", reason, kAnyText);
        return AddGap({media_us, std::nullopt, std::move(reason)});
      }
      if (type == kSourceBackType) {
        data.Int("media_us", media_us);
        return EndGap(media_us);
      }
    });
  }).ok();
}

std::string LogLine(absl::Time wall, int64_t mono_us, absl::string_view type,
                    absl::string_view data) {
  std::string line;
  JsonOut out(line);
  out.BeginObject();
  out.Field("at", TimeText(wall));
  out.Field("at_us", mono_us);
  out.Field("type", type);
  out.FieldRaw("data", data);
  out.End();
  return line;
}

std::string MarkerData(const Marker& marker) {
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  out.Field("number", marker.number);
  out.Field("label", marker.label);
  out.Field("kind", MarkerKindName(marker.kind));
  out.Field("media_us", marker.media_us);
  out.Field("wall_us", marker.wall_us);
  out.Field("duration_us", marker.duration_us);
  out.Field("attrs", marker.attributes);
  out.FieldIfAny("key", marker.key);
  out.FieldIfAny("request", marker.request);
  out.End();
  return text;
}

std::string CommandData(const CommandSpan& command) {
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  out.Field("process", command.process);
  out.FieldIfAny("command", command.command);
  out.Field("media_us", command.media_us);
  out.Field("end_media_us", command.end_media_us);
  out.FieldIfAny("outcome", command.outcome);
  out.Field("code", command.code);
  out.End();
  return text;
}

absl::StatusOr<Timeline> ReadTimeline(int dir_fd) {
  Timeline timeline;
  const absl::StatusOr<UniqueFd> log =
      OpenBeneath(dir_fd, kEventLogName, O_RDONLY | O_CLOEXEC);
  if (absl::IsNotFound(log.status())) return timeline;
  KINE_RETURN_IF_ERROR(log.status());
  KINE_RETURN_IF_ERROR(
      ReadAppendLog(log->get(), [&timeline](absl::string_view line) {
        timeline.AddLine(line);
      }).status());
  return timeline;
}

}  // namespace kine
