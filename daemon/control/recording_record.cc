#include "daemon/control/recording_record.h"

#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits.h"
#include "daemon/base/record_text.h"
#include "daemon/base/status.h"
#include "ipc/json_in.h"
#include "ipc/json_out.h"

namespace kine {
namespace {

constexpr JsonName<RecordingState> kStateNames[] = {
    {"starting", RecordingState::kStarting},
    {"recording", RecordingState::kRecording},
    {"paused", RecordingState::kPaused},
    {"finalizing", RecordingState::kFinalizing},
    {"ready", RecordingState::kReady},
    {"interrupted", RecordingState::kInterrupted},
    {"failed", RecordingState::kFailed},
};
constexpr JsonName<link::Finished::Index> kIndexNames[] = {
    {"none", link::Finished::Index::kNone},
    {"front", link::Finished::Index::kFront},
    {"tail", link::Finished::Index::kTail},
};
constexpr JsonName<link::CursorFile::Mode> kCursorModes[] = {
    {"none", link::CursorFile::Mode::kNone},
    {"embedded", link::CursorFile::Mode::kEmbedded},
    {"metadata", link::CursorFile::Mode::kMetadata},
};
const char* IndexName(link::Finished::Index index) {
  for (const auto& entry : kIndexNames)
    if (entry.value == index) return entry.name;
  return "none";
}

// A text of ours that came from elsewhere once: long, and any characters.
constexpr JsonTextRule kAnyText{0, 8'192, JsonTextRule::kAny};

void WriteSource(JsonOut& out, const link::Format& format) {
  out.BeginObject("source");
  out.Field("kind", format.source.kind);
  out.FieldIfAny("name", format.source.name);
  if (format.source.node_id != 0) out.Field("node", format.source.node_id);
  if (format.source.serial != 0) out.Field("serial", format.source.serial);
  out.FieldIfAny("memory", format.source.memory);
  out.Field("cursor_embedded", format.source.cursor_embedded);
  out.Field("has_damage", format.source.has_damage);
  out.Field("has_times", format.source.has_times);
  out.Field("width", format.width);
  out.Field("height", format.height);
  out.Field("pixels", format.pixels);
  out.Field("modifier", format.modifier);
  if (!format.source.refusals.empty()) {
    out.BeginList("refused");
    for (const link::Refusal& refusal : format.source.refusals) {
      out.BeginObject();
      out.Field("name", refusal.name);
      out.Field("reason", refusal.reason);
      out.End();
    }
    out.End();
  }
  out.End();
}

void BindSource(JsonObject& o, link::Format& format) {
  o.Object("source", [&format](JsonObject& s) {
    s.Text("kind", format.source.kind, kAnyText);
    s.Text("name", format.source.name, kAnyText);
    s.Int("node", format.source.node_id);
    s.Int("serial", format.source.serial);
    s.Text("memory", format.source.memory, kAnyText);
    s.Bool("cursor_embedded", format.source.cursor_embedded);
    s.Bool("has_damage", format.source.has_damage);
    s.Bool("has_times", format.source.has_times);
    s.Int("width", format.width);
    s.Int("height", format.height);
    s.Text("pixels", format.pixels, kAnyText);
    s.Text("modifier", format.modifier, kAnyText);
    s.List("refused", 16, [&format](JsonObject& r) {
      link::Refusal refusal;
      r.Text("name", refusal.name, kAnyText);
      r.Text("reason", refusal.reason, kAnyText);
      format.source.refusals.push_back(std::move(refusal));
    });
  });
}

void WriteEncoder(JsonOut& out, const link::Format& format) {
  if (format.encoder.name.empty()) return;
  out.BeginObject("encoder");
  out.Field("name", format.encoder.name);
  out.Field("version", format.encoder.version);
  out.Field("profile", format.encoder.profile);
  out.Field("color", format.encoder.color);
  out.End();
}

void BindEncoder(JsonObject& o, link::Format& format) {
  o.Object("encoder", [&format](JsonObject& e) {
    e.Text("name", format.encoder.name, kAnyText);
    e.Text("version", format.encoder.version, kAnyText);
    e.Text("profile", format.encoder.profile, kAnyText);
    e.Text("color", format.encoder.color, kAnyText);
  });
}

void WriteFallbacks(JsonOut& out, const RecordingRecord& record) {
  out.BeginList("fallbacks");
  for (const link::Fallback& fallback : record.fallbacks) {
    out.BeginObject();
    out.Field("what", fallback.what);
    out.Field("from", fallback.from);
    out.Field("to", fallback.to);
    out.Field("reason", fallback.reason);
    out.End();
  }
  out.End();
}

void BindFallbacks(JsonObject& o, RecordingRecord& record) {
  o.List("fallbacks", limits::kFallbacksMax, [&record](JsonObject& f) {
    link::Fallback fallback;
    f.Text("what", fallback.what, kAnyText);
    f.Text("from", fallback.from, kAnyText);
    f.Text("to", fallback.to, kAnyText);
    f.Text("reason", fallback.reason, kAnyText);
    record.fallbacks.push_back(std::move(fallback));
  });
}

void WriteResult(JsonOut& out, const RecordingRecord& record) {
  out.BeginObject("artifact");
  out.Field("bytes", record.bytes);
  out.Field("duration_us", record.duration_us);
  out.Field("view", record.compact() ? "compact" : "realtime");
  if (record.compact()) out.Field("compact_us", record.compact_us);
  out.Field("frames", record.frames);
  out.Field("width", record.width);
  out.Field("height", record.height);
  out.Field("true_width", record.true_width);
  out.Field("true_height", record.true_height);
  out.Field("index", IndexName(record.finalise.index));
  out.Field("index_bytes", record.finalise.index_bytes);
  out.Field("finalise_us", record.finalise.micros);
  out.Field("chapters", record.finalise.chapters);
  out.Field("chapters_left_out", record.finalise.chapters_left_out);
  out.End();
}

void BindResult(JsonObject& o, RecordingRecord& record) {
  o.Object("artifact", [&record](JsonObject& a) {
    a.Int("bytes", record.bytes);
    a.Int("duration_us", record.duration_us);
    a.Int("compact_us", record.compact_us);
    a.Int("frames", record.frames);
    a.Int("width", record.width);
    a.Int("height", record.height);
    a.Int("true_width", record.true_width);
    a.Int("true_height", record.true_height);
    a.Enum("index", record.finalise.index, kIndexNames);
    a.Int("index_bytes", record.finalise.index_bytes);
    a.Int("finalise_us", record.finalise.micros);
    a.Int("chapters", record.finalise.chapters);
    a.Int("chapters_left_out", record.finalise.chapters_left_out);
  });
}

bool HasCursor(const RecordingRecord& record) {
  return record.cursor.mode != link::CursorFile::Mode::kNone;
}

void WriteCursor(JsonOut& out, const RecordingRecord& record) {
  if (!HasCursor(record)) return;
  const link::CursorFile& c = record.cursor;
  out.BeginObject("cursor");
  for (const auto& entry : kCursorModes)
    if (entry.value == c.mode) out.Field("mode", entry.name);
  out.Field("events", c.events);
  out.Field("shapes", c.shapes);
  out.Field("bytes", c.bytes);
  out.Field("dropped", c.dropped);
  out.End();
}

void BindCursor(JsonObject& o, RecordingRecord& record) {
  o.Object("cursor", [&c = record.cursor](JsonObject& m) {
    m.Enum("mode", c.mode, kCursorModes);
    m.Int("events", c.events);
    m.Int("shapes", c.shapes);
    m.Int("bytes", c.bytes);
    m.Int("dropped", c.dropped);
  });
}

void WriteFrames(JsonOut& out, const link::Counters& c) {
  out.BeginObject("frames");
  out.Field("captured", c.captured);
  out.Field("encoded", c.encoded);
  out.Field("skipped_undamaged", c.skipped_undamaged);
  out.Field("skipped_paused", c.skipped_paused);
  out.Field("repeated", c.repeated);
  out.Field("pointer", c.pointer);
  out.Field("lost_overload", c.lost_overload);
  out.Field("lost_in_source", c.lost_in_source);
  out.Field("lost_import", c.lost_import);
  out.Field("corrupted", c.corrupted);
  out.End();
}

void BindFrames(JsonObject& o, link::Counters& c) {
  o.Object("frames", [&c](JsonObject& f) {
    f.Int("captured", c.captured);
    f.Int("encoded", c.encoded);
    f.Int("skipped_undamaged", c.skipped_undamaged);
    f.Int("skipped_paused", c.skipped_paused);
    f.Int("repeated", c.repeated);
    f.Int("pointer", c.pointer);
    f.Int("lost_overload", c.lost_overload);
    f.Int("lost_in_source", c.lost_in_source);
    f.Int("lost_import", c.lost_import);
    f.Int("corrupted", c.corrupted);
  });
}

void WriteLatency(JsonOut& out, const link::Counters& c) {
  out.BeginObject("latency");
  const std::pair<const char*, const link::Quantiles*> stages[] = {
      {"capture", &c.capture},
      {"encode", &c.encode},
      {"write", &c.write},
      {"total", &c.total}};
  for (const auto& [name, quantiles] : stages) {
    out.BeginObject(name);
    out.Field("p50_us", quantiles->p50_us);
    out.Field("p99_us", quantiles->p99_us);
    out.Field("max_us", quantiles->max_us);
    out.End();
  }
  out.End();
}

void BindLatency(JsonObject& o, link::Counters& c) {
  o.Object("latency", [&c](JsonObject& l) {
    const auto bind = [&l](const char* name, link::Quantiles& quantiles) {
      l.Object(name, [&quantiles](JsonObject& q) {
        q.Int("p50_us", quantiles.p50_us);
        q.Int("p99_us", quantiles.p99_us);
        q.Int("max_us", quantiles.max_us);
      });
    };
    bind("capture", c.capture);
    bind("encode", c.encode);
    bind("write", c.write);
    bind("total", c.total);
  });
}

void BindTime(JsonObject& o, const char* key, std::optional<absl::Time>& time) {
  std::string text;
  o.Text(key, text, {0, 64, JsonTextRule::kPrintable});
  if (text.empty()) return;
  absl::Time parsed;
  std::string error;
  if (absl::ParseTime(absl::RFC3339_full, text, &parsed, &error))
    time = parsed;
  else
    o.Refuse(key, "is no RFC 3339 time");
}

// Before anything else is read: what a newer program wrote is not damaged.
absl::Status CheckManifestVersion(absl::string_view text) {
  int version = 1;
  KINE_RETURN_IF_ERROR(BindJson(
      text, {kManifestBytesMax, JsonUnknown::kIgnore},
      [&](JsonObject& o) { o.Int("format_version", version, 1, INT32_MAX); }));
  if (version > kManifestVersion)
    return absl::UnimplementedError(absl::StrCat(
        "format_version ", version, " is of a newer kinescope; this one knows ",
        kManifestVersion));
  return absl::OkStatus();
}

}  // namespace

const char* RecordingStateName(RecordingState state) {
  for (const auto& entry : kStateNames)
    if (entry.value == state) return entry.name;
  return "unknown";
}

std::optional<RecordingState> RecordingStateFromName(absl::string_view name) {
  for (const auto& entry : kStateNames)
    if (name == entry.name) return entry.value;
  return std::nullopt;
}

bool IsActive(RecordingState state) {
  return state == RecordingState::kStarting ||
         state == RecordingState::kRecording ||
         state == RecordingState::kPaused ||
         state == RecordingState::kFinalizing;
}

bool IsFinished(RecordingState state) {
  return state == RecordingState::kReady ||
         state == RecordingState::kInterrupted;
}

std::string EntityTag(const RecordingRecord& record, absl::string_view part) {
  return absl::StrCat("\"", record.id, "-", record.generation(), "-", part,
                      "\"");
}

bool CanStep(RecordingState from, RecordingState to) {
  using S = RecordingState;
  switch (from) {
    case S::kStarting:
      return to == S::kRecording || to == S::kFinalizing || to == S::kFailed;
    case S::kRecording:
      return to == S::kPaused || to == S::kFinalizing;
    case S::kPaused:
      return to == S::kRecording || to == S::kFinalizing;
    case S::kFinalizing:
      return to == S::kReady || to == S::kInterrupted || to == S::kFailed;
    case S::kReady:
    case S::kInterrupted:
    case S::kFailed:
      return false;
  }
  return false;
}

std::string CanonicalRequestOf(const RecordingRecord& record) {
  return record.replay ? ToJson(*record.replay)
                       : ToJson(record.request, /*for_digest=*/true);
}

std::string ManifestOf(const RecordingRecord& r) {
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  out.Field("format_version", kManifestVersion);
  out.Field("id", r.id);
  out.FieldIfAny("owner", r.owner);
  out.Field("state", RecordingStateName(r.state));
  out.FieldIfAny("reason", r.reason);
  out.FieldIfAny("message", r.message);
  out.Field("truncated", r.truncated);
  out.Field("created_at", TimeText(r.created_at));
  if (r.first_frame_at)
    out.Field("first_frame_at", TimeText(*r.first_frame_at));
  if (r.finished_at) out.Field("finished_at", TimeText(*r.finished_at));
  out.Field("gaps", r.gaps);
  out.Field("paused_us", r.paused_us);
  out.Field("pinned", r.pinned);
  out.Field("late_markers", r.late_markers);
  // As a text: what is compared when an id comes again.
  out.Field("request", ToJson(r.request, /*for_digest=*/true));
  if (r.replay) out.Field("replay", ToJson(*r.replay));
  if (!r.format.source.kind.empty()) WriteSource(out, r.format);
  WriteEncoder(out, r.format);
  WriteFrames(out, r.counters);
  WriteLatency(out, r.counters);
  WriteCursor(out, r);
  WriteFallbacks(out, r);
  if (!IsActive(r.state)) WriteResult(out, r);
  if (r.recovery) WriteRecovery(out, *r.recovery);
  out.BeginList("files");
  out.Value("video.mp4");
  out.Value("events.ndjson");
  if (HasCursor(r)) out.Value("cursor.ndjson");
  out.End();
  out.End();
  text.push_back('\n');
  return text;
}

absl::StatusOr<RecordingRecord> ParseManifest(absl::string_view text) {
  KINE_RETURN_IF_ERROR(CheckManifestVersion(text));
  RecordingRecord r;
  std::string request;
  std::string replay;
  std::optional<absl::Time> created;
  absl::Status status = BindJson(
      text, {kManifestBytesMax, JsonUnknown::kIgnore}, [&](JsonObject& o) {
        o.Text("id", r.id, {1, limits::kRecordingIdMax, JsonTextRule::kId},
               JsonNeed::kRequired);
        o.Text("owner", r.owner, kAnyText);
        o.Enum("state", r.state, kStateNames, JsonNeed::kRequired);
        o.Text("reason", r.reason, kAnyText);
        o.Text("message", r.message, kAnyText);
        o.Bool("truncated", r.truncated);
        BindTime(o, "created_at", created);
        BindTime(o, "first_frame_at", r.first_frame_at);
        BindTime(o, "finished_at", r.finished_at);
        o.Int("gaps", r.gaps);
        o.Int("paused_us", r.paused_us);
        o.Bool("pinned", r.pinned);
        o.Int("late_markers", r.late_markers);
        o.Text("request", request,
               {0, limits::kBodyBytesMax * 2, JsonTextRule::kAny},
               JsonNeed::kRequired);
        o.Text("replay", replay,
               {0, limits::kBodyBytesMax * 2, JsonTextRule::kAny});
        BindSource(o, r.format);
        BindEncoder(o, r.format);
        BindFrames(o, r.counters);
        BindLatency(o, r.counters);
        BindCursor(o, r);
        BindFallbacks(o, r);
        BindResult(o, r);
        o.Object("recovery", [&r](JsonObject& recovery) {
          r.recovery = BindRecovery(recovery);
        });
      });
  KINE_RETURN_IF_ERROR(status);
  if (!created.has_value())
    return absl::InvalidArgumentError("created_at: is missing");
  r.created_at = *created;
  KINE_ASSIGN_OR_RETURN(r.request, ParseRecordingRequest(request));
  if (!replay.empty()) {
    KINE_ASSIGN_OR_RETURN(r.replay, ParseReplayRequest(replay));
  }
  return r;
}

void WriteStateReply(JsonOut& out, const RecordingRecord& r,
                     std::optional<bool> attached) {
  out.BeginObject();
  out.Field("id", r.id);
  out.Field("state", RecordingStateName(r.state));
  if (r.state == RecordingState::kStarting) {
    out.Field("waiting_for_first_frame", !r.needs_consent);
    out.Field("needs_consent", r.needs_consent);
  }
  out.Field("attached", attached);
  out.FieldIfAny("reason", r.reason.empty() ? r.pending_reason : r.reason);
  out.FieldIfAny("message", r.message);
  out.Field("truncated", r.truncated);
  out.Field("pinned", r.pinned);
  out.Field("created_at", TimeText(r.created_at));
  if (r.first_frame_at)
    out.Field("first_frame_at", TimeText(*r.first_frame_at));
  out.Field("first_frame_us", r.first_frame_mono_us);
  if (r.finished_at) out.Field("finished_at", TimeText(*r.finished_at));
  if (!r.format.source.kind.empty()) {
    WriteSource(out, r.format);
    out.Field("source_present", r.source_present);
    out.FieldIfAny("lost_reason", r.lost_reason);
  }
  out.Field("gaps", r.gaps);
  out.Field("paused_us", r.paused_us);
  WriteEncoder(out, r.format);
  WriteFrames(out, r.counters);
  out.Field("bytes", IsActive(r.state) ? r.counters.bytes : r.bytes);
  out.Field("durable_bytes",
            IsActive(r.state) ? r.counters.durable_bytes : r.bytes);
  out.Field("durable_until_us",
            IsActive(r.state) ? r.counters.durable_until_us : r.duration_us);
  out.Field("media_us",
            IsActive(r.state) ? r.counters.media_us : r.duration_us);
  WriteLatency(out, r.counters);
  WriteCursor(out, r);
  WriteFallbacks(out, r);
  if (IsFinished(r.state)) WriteResult(out, r);
  if (r.recovery) WriteRecovery(out, *r.recovery);
  // A restore token opens a screen without a prompt: whoever gave it knows it,
  // whoever only may look shall not.
  RecordingSettings settings = r.request.settings;
  if (auto* portal = std::get_if<PortalRequest>(&settings.source))
    portal->restore_token.clear();
  out.BeginObject("settings");
  WriteSettings(out, settings);
  out.End();
  if (r.replay) {
    out.BeginObject("replay");
    out.Field("seconds", r.replay->seconds);
    out.End();
  }
  out.Field("labels", r.request.labels);
  out.End();
}

std::string StateReplyOf(const RecordingRecord& record,
                         std::optional<bool> attached) {
  std::string text;
  JsonOut out(text);
  WriteStateReply(out, record, attached);
  return text;
}

}  // namespace kine
