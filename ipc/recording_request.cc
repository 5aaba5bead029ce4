#include "ipc/recording_request.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "ipc/json_in.h"
#include "ipc/json_out.h"

namespace kine {
namespace {

using Pattern = TestRequest::Pattern;
using Profile = RecordingSettings::Profile;
using EncoderKind = RecordingSettings::Encoder;
using Durability = RecordingSettings::Durability;
using Cursor = RecordingSettings::Cursor;
using OnExisting = RecordingRequest::OnExisting;

constexpr JsonName<Pattern> kPatterns[] = {{"scroll", Pattern::kScroll},
                                           {"typing", Pattern::kTyping},
                                           {"video", Pattern::kVideo},
                                           {"still", Pattern::kStill}};
constexpr JsonName<Profile> kProfiles[] = {{"instant", Profile::kInstant},
                                           {"studio", Profile::kStudio}};
constexpr JsonName<EncoderKind> kEncoders[] = {
    {"auto", EncoderKind::kAuto},
    {"vaapi", EncoderKind::kVaapi},
    {"software", EncoderKind::kSoftware}};
constexpr JsonName<Durability> kDurabilities[] = {
    {"fragment", Durability::kFragment}, {"finish", Durability::kFinish}};
constexpr JsonName<Cursor> kCursors[] = {{"embedded", Cursor::kEmbedded},
                                         {"metadata", Cursor::kMetadata}};
constexpr JsonName<OnExisting> kOnExistings[] = {
    {"refuse", OnExisting::kRefuse}, {"restart", OnExisting::kRestart}};

template <typename E, size_t N>
const char* NameOf(E value, const JsonName<E> (&table)[N]) {
  for (const JsonName<E>& row : table) {
    if (row.value == value) return row.name;
  }
  return "";
}

void BindTest(JsonObject& o, TestRequest& test) {
  o.Int("width", test.width, limits::kPictureSideMin, limits::kPictureSideMax);
  o.Int("height", test.height, limits::kPictureSideMin,
        limits::kPictureSideMax);
  o.Number("fps", test.fps, limits::kFpsMin, limits::kFpsMax);
  o.Enum("pattern", test.pattern, kPatterns);
}

void BindPipeWire(JsonObject& o, PipeWireRequest& pipewire) {
  o.Int("node", pipewire.node);
  o.Int("serial", pipewire.serial);
  o.Text("name", pipewire.name, {.min = 1, .max = limits::kSourceNameMax});
  o.Text("remote", pipewire.remote, {.max = limits::kSourceNameMax});
  if (int{o.Has("node")} + int{o.Has("serial")} + int{o.Has("name")} > 1) {
    const char* second = o.Has("name") ? "name" : "serial";
    o.Refuse(second,
             "names the node a second time; give one of node, name "
             "and serial");
  }
}

void BindPortal(JsonObject& o, PortalRequest& portal) {
  o.Int("types", portal.types, 1, 7);
  o.Text("restore_token", portal.restore_token,
         {.max = limits::kRestoreTokenMax});
  o.Bool("persist", portal.persist);
}

void BindCrop(JsonObject& o, RecordingSettings::Crop& crop) {
  constexpr int kLast = limits::kPictureSideMax - limits::kPictureSideMin;
  o.Int("x", crop.x, 0, kLast);
  o.Int("y", crop.y, 0, kLast);
  o.Int("width", crop.width, limits::kPictureSideMin, limits::kPictureSideMax,
        JsonNeed::kRequired);
  o.Int("height", crop.height, limits::kPictureSideMin, limits::kPictureSideMax,
        JsonNeed::kRequired);
}

void WriteAs(JsonOut& out, const AutoRequest&) { out.Field("source", "auto"); }

void WriteAs(JsonOut& out, const TestRequest& test) {
  out.BeginObject("source");
  out.BeginObject("test");
  out.Field("width", test.width);
  out.Field("height", test.height);
  out.Field("fps", test.fps);
  out.Field("pattern", NameOf(test.pattern, kPatterns));
  out.End();
  out.End();
}

void WriteAs(JsonOut& out, const PipeWireRequest& pipewire) {
  out.BeginObject("source");
  out.BeginObject("pipewire");
  out.Field("node", pipewire.node);
  out.Field("serial", pipewire.serial);
  out.FieldIfAny("name", pipewire.name);
  out.FieldIfAny("remote", pipewire.remote);
  out.End();
  out.End();
}

void WriteAs(JsonOut& out, const PortalRequest& portal) {
  out.BeginObject("source");
  out.BeginObject("portal");
  out.Field("types", portal.types);
  out.FieldIfAny("restore_token", portal.restore_token);
  out.Field("persist", portal.persist);
  out.End();
  out.End();
}

}  // namespace

const char* SourceKind(const SourceRequest& source) {
  static constexpr const char* kKinds[] = {"auto", "test", "pipewire",
                                           "portal"};
  static_assert(std::size(kKinds) == std::variant_size_v<SourceRequest>);
  return kKinds[source.index()];
}

Cursor CursorOf(const RecordingSettings& settings) {
  return settings.cursor.value_or(settings.profile == Profile::kStudio
                                      ? Cursor::kMetadata
                                      : Cursor::kEmbedded);
}

CaptureKey CaptureKeyOf(const RecordingSettings& settings) {
  const bool may_be_portal =
      std::holds_alternative<PortalRequest>(settings.source) ||
      std::holds_alternative<AutoRequest>(settings.source);
  return {settings.source,
          may_be_portal ? CursorOf(settings) : Cursor::kEmbedded};
}

void BindSourceRequest(JsonObject& object, SourceRequest& source) {
  object.Choice(
      "source",
      {{"auto", [&](JsonObject&) { source = AutoRequest{}; }},
       {"test", [&](JsonObject& o) { BindTest(o, source.emplace<1>()); }},
       {"pipewire",
        [&](JsonObject& o) { BindPipeWire(o, source.emplace<2>()); }},
       {"portal", [&](JsonObject& o) { BindPortal(o, source.emplace<3>()); }}});
}

void WriteSourceRequest(JsonOut& out, const SourceRequest& source) {
  std::visit([&out](const auto& s) { WriteAs(out, s); }, source);
}

void BindSettings(JsonObject& object, RecordingSettings& settings) {
  BindSourceRequest(object, settings.source);
  object.Number("fps_max", settings.fps_max, limits::kFpsMin, limits::kFpsMax);
  object.Enum("profile", settings.profile, kProfiles);
  object.Int("quality", settings.quality, 0, 100);
  object.Int("bitrate", settings.bitrate, limits::kBitrateMin,
             limits::kBitrateMax);
  if (object.Has("quality") && object.Has("bitrate"))
    object.Refuse("bitrate", "and quality exclude each other; give one");
  object.Enum("encoder", settings.encoder, kEncoders);
  object.Enum("cursor", settings.cursor, kCursors);
  object.Object("crop", [&settings](JsonObject& o) {
    settings.crop = RecordingSettings::Crop();  // clang 14: not by emplace().
    BindCrop(o, *settings.crop);
  });
  object.Int("max_bytes", settings.max_bytes, limits::kMaxBytesMin,
             limits::kMaxBytesMax);
  object.Int("max_duration_ms", settings.max_duration_ms,
             limits::kMaxDurationMinMs, limits::kMaxDurationMaxMs);
  object.Int("source_grace_ms", settings.source_grace_ms, 0,
             limits::kSourceGraceMaxMs);
  object.Enum("durability", settings.durability, kDurabilities);
  object.Object("idle", [&settings](JsonObject& o) {
    o.Int("stop_after_ms", settings.idle.stop_after_ms, 0,
          limits::kMaxDurationMaxMs);
    o.Int("compact_after_ms", settings.idle.compact_after_ms,
          limits::kCompactAfterMinMs, limits::kMaxDurationMaxMs);
    o.Int("compact_speed", settings.idle.compact_speed,
          limits::kCompactSpeedMin, limits::kCompactSpeedMax);
  });
}

void WriteSettings(JsonOut& out, const RecordingSettings& settings) {
  WriteSourceRequest(out, settings.source);
  out.Field("fps_max", settings.fps_max);
  out.Field("profile", NameOf(settings.profile, kProfiles));
  out.Field("quality", settings.quality);
  out.Field("bitrate", settings.bitrate);
  out.Field("encoder", NameOf(settings.encoder, kEncoders));
  if (settings.cursor) out.Field("cursor", NameOf(*settings.cursor, kCursors));
  if (settings.crop) {
    out.BeginObject("crop");
    out.Field("x", settings.crop->x);
    out.Field("y", settings.crop->y);
    out.Field("width", settings.crop->width);
    out.Field("height", settings.crop->height);
    out.End();
  }
  out.Field("max_bytes", settings.max_bytes);
  out.Field("max_duration_ms", settings.max_duration_ms);
  out.Field("source_grace_ms", settings.source_grace_ms);
  out.Field("durability", NameOf(settings.durability, kDurabilities));
  out.BeginObject("idle");
  out.Field("stop_after_ms", settings.idle.stop_after_ms);
  out.Field("compact_after_ms", settings.idle.compact_after_ms);
  out.Field("compact_speed", settings.idle.compact_speed);
  out.End();
}

void BindRecordingNames(JsonObject& object, std::string& id,
                        std::map<std::string, std::string>& labels,
                        std::string& expect_instance) {
  object.Text(
      "id", id,
      {.min = 1, .max = limits::kRecordingIdMax, .charset = JsonTextRule::kId});
  object.TextMap(
      "labels", labels, limits::kLabelsMax,
      {.min = 1, .max = limits::kLabelKeyMax, .charset = JsonTextRule::kId},
      {.max = limits::kLabelValueMax});
  object.Text("expect_instance", expect_instance, {.max = 64});
}

void BindRecordingRequest(JsonObject& object, RecordingRequest& request) {
  BindRecordingNames(object, request.id, request.labels,
                     request.expect_instance);
  BindSettings(object, request.settings);
  object.Enum("on_existing", request.on_existing, kOnExistings);
}

absl::StatusOr<RecordingRequest> ParseRecordingRequest(absl::string_view text) {
  RecordingRequest request;
  if (text.empty()) return request;
  const absl::Status bound = BindJson(text, {}, [&request](JsonObject& o) {
    BindRecordingRequest(o, request);
  });
  if (!bound.ok()) return bound;
  return request;
}

std::string ToJson(const RecordingRequest& request, bool for_digest) {
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  out.FieldIfAny("id", request.id);
  WriteSettings(out, request.settings);
  if (!for_digest) {
    out.Field("on_existing", NameOf(request.on_existing, kOnExistings));
    out.FieldIfAny("expect_instance", request.expect_instance);
  }
  out.Field("labels", request.labels);
  out.End();
  return text;
}

bool IsRecordingId(absl::string_view id) {
  return !id.empty() && id.size() <= limits::kRecordingIdMax &&
         absl::ascii_isalnum(static_cast<uint8_t>(id[0])) &&
         std::all_of(id.begin(), id.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<uint8_t>(c)) || c == '.' ||
                  c == '_' || c == '-';
         });
}

}  // namespace kine
