// What a recording is asked to be: the body of POST /v1/recordings, and the
// part of it that goes on to the recorder in link_messages.h's Start. One
// binder for both, so that the two cannot drift apart.
//
// Values only; nothing here knows what a source or an encoder is. Errors are
// those of json_in.h.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "daemon/base/limits.h"
#include "daemon/base/limits/timeline.h"
#include "daemon/base/limits/views.h"

namespace kine {

class JsonObject;
class JsonOut;

// "auto": the first that works; README.md has the order.
struct AutoRequest {
  bool operator==(const AutoRequest&) const = default;
};
// {"test":{"width","height","fps","pattern"}}; "test" for the defaults.
struct TestRequest {
  enum class Pattern { kScroll, kTyping, kVideo, kStill };
  int width = 1280;
  int height = 720;
  double fps = 30;
  Pattern pattern = Pattern::kScroll;
  bool operator==(const TestRequest&) const = default;
};
// {"pipewire":{"node"|"name"|"serial","remote"}}: at most one of the first
// three; none means the only video source there is.
struct PipeWireRequest {
  std::optional<uint32_t> node;
  std::optional<uint64_t> serial;
  std::string name;    // node.name; "" = not by name.
  std::string remote;  // Socket name or path; "" = the default server.
  bool operator==(const PipeWireRequest&) const = default;
};
// {"portal":{"types","restore_token","persist"}}
struct PortalRequest {
  uint32_t types = 1;  // ScreenCast's bits: 1 monitor, 2 window, 4 virtual.
  std::string restore_token;
  bool persist = true;
  bool operator==(const PortalRequest&) const = default;
};
using SourceRequest =
    std::variant<AutoRequest, TestRequest, PipeWireRequest, PortalRequest>;

// "auto", "test", "pipewire", "portal".
const char* SourceKind(const SourceRequest& source);

struct RecordingSettings {
  enum class Profile { kInstant, kStudio };
  enum class Encoder { kAuto, kVaapi, kSoftware };
  enum class Durability { kFragment, kFinish };
  // The pointer is in the picture, or in the cursor file only.
  enum class Cursor { kEmbedded, kMetadata };

  SourceRequest source;
  double fps_max = limits::kFpsDefault;
  Profile profile = Profile::kInstant;
  // At most one of the two; neither: what the profile says.
  std::optional<int> quality;       // 0 (worst) .. 100.
  std::optional<uint64_t> bitrate;  // Bits a second.
  Encoder encoder = Encoder::kAuto;
  std::optional<Cursor> cursor;  // None: what the profile says.
  // {"crop":{"x","y","width","height"}}: the part that is recorded, in pixels
  // of the upright picture; none: all of it.
  struct Crop {
    int x = 0;
    int y = 0;
    int width = 0;
    int height = 0;
    auto operator<=>(const Crop&) const = default;
  };
  std::optional<Crop> crop;
  uint64_t max_bytes = limits::kMaxBytesDefault;
  int64_t max_duration_ms = limits::kMaxDurationDefaultMs;
  int64_t source_grace_ms = limits::kSourceGraceMs;
  Durability durability = Durability::kFragment;
  // {"idle":{"stop_after_ms","compact_after_ms","compact_speed"}}: so long
  // without activity ends it (0: nothing does); how the compact view runs.
  // Given, compact_after_ms makes the finished file itself a compact one.
  struct Idle {
    int64_t stop_after_ms = limits::kIdleStopDefaultMs;
    std::optional<int64_t> compact_after_ms;
    int compact_speed = limits::kCompactSpeedDefault;
    bool operator==(const Idle&) const = default;
  } idle;
  bool operator==(const RecordingSettings&) const = default;
};

// What the settings' `cursor` is, or their profile says: kEmbedded for instant,
// kMetadata for studio.
RecordingSettings::Cursor CursorOf(const RecordingSettings& settings);

// What names a capture: recordings that ask for an equal one may share it. A
// session of the portal has one cursor mode, so there it counts (`auto` may
// come to the portal); other sources are the same whatever is asked.
struct CaptureKey {
  SourceRequest source;
  RecordingSettings::Cursor cursor = RecordingSettings::Cursor::kEmbedded;
  bool operator==(const CaptureKey&) const = default;
};
CaptureKey CaptureKeyOf(const RecordingSettings& settings);

// Members of `object` that belong to the settings are read into (written from)
// `settings`; the caller binds the rest of the object. Absent members keep
// their values; every member is written.
void BindSettings(JsonObject& object, RecordingSettings& settings);
void WriteSettings(JsonOut& out, const RecordingSettings& settings);

// The member `source` alone.
void BindSourceRequest(JsonObject& object, SourceRequest& source);
void WriteSourceRequest(JsonOut& out, const SourceRequest& source);

struct RecordingRequest {
  enum class OnExisting { kRefuse, kRestart };

  std::string id;  // "" = the daemon chooses.
  RecordingSettings settings;
  OnExisting on_existing = OnExisting::kRefuse;
  std::map<std::string, std::string> labels;
  std::string expect_instance;  // "" = any.
  bool operator==(const RecordingRequest&) const = default;
};

// Members that every request for a recording has: `id`, `labels` and
// `expect_instance`.
void BindRecordingNames(JsonObject& object, std::string& id,
                        std::map<std::string, std::string>& labels,
                        std::string& expect_instance);
// Reads all members into `request`.
void BindRecordingRequest(JsonObject& object, RecordingRequest& request);
// An empty text is a request with every default.
absl::StatusOr<RecordingRequest> ParseRecordingRequest(absl::string_view text);

// Canonical: equal requests give equal texts, with the defaults written out.
// `on_existing` and `expect_instance` are not part of what is recorded and stay
// out when `for_digest`.
std::string ToJson(const RecordingRequest& request, bool for_digest = false);

// `id` matches [A-Za-z0-9][A-Za-z0-9._-]{0,63}.
bool IsRecordingId(absl::string_view id);

}  // namespace kine
