#include "tools/kinectl/values.h"

#include <unistd.h>

#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "daemon/base/log.h"
#include "daemon/base/status.h"

namespace kinectl {
namespace {

using kine::Quoted;
using Settings = kine::RecordingSettings;

absl::Status Wrong(absl::string_view flag, absl::string_view value,
                   absl::string_view remedy) {
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, "=", Quoted(value), ": ", remedy));
}

template <typename E>
struct Word {
  const char* name;
  E value;
};

// One of `words` for the flag, when it is there.
template <typename E, size_t N>
absl::Status Pick(const Args& args, absl::string_view flag,
                  const Word<E> (&words)[N], E& out) {
  if (!args.Has(flag)) return absl::OkStatus();
  const std::string value = args.Get(flag);
  std::string known;
  for (const Word<E>& word : words) {
    if (value == word.name) {
      out = word.value;
      return absl::OkStatus();
    }
    absl::StrAppend(&known, known.empty() ? "" : ", ", word.name);
  }
  return Wrong(flag, value, absl::StrCat("give one of ", known));
}

// A label is key=value; several are separated by commas.
absl::Status ParseLabels(const Args& args, kine::RecordingRequest& request) {
  const std::string text = args.Get("labels");
  for (const absl::string_view one :
       absl::StrSplit(text, ',', absl::SkipEmpty())) {
    const size_t equals = one.find('=');
    if (equals == absl::string_view::npos || equals == 0)
      return Wrong("labels", one, "give key=value, several with commas");
    const bool fresh = request.labels
                           .emplace(std::string(one.substr(0, equals)),
                                    std::string(one.substr(equals + 1)))
                           .second;
    if (!fresh) return Wrong("labels", one, "the key is given twice");
  }
  return absl::OkStatus();
}

absl::Status ParseTestSource(const Args& args, kine::TestRequest& test) {
  using Pattern = kine::TestRequest::Pattern;
  static constexpr Word<Pattern> kPatterns[] = {{"scroll", Pattern::kScroll},
                                                {"typing", Pattern::kTyping},
                                                {"video", Pattern::kVideo},
                                                {"still", Pattern::kStill}};
  KINE_RETURN_IF_ERROR(Pick(args, "pattern", kPatterns, test.pattern));
  if (args.Has("size")) {
    KINE_ASSIGN_OR_RETURN(const Size size, ParseSize(args.Get("size")));
    test.width = size.width;
    test.height = size.height;
  }
  return absl::OkStatus();
}

absl::StatusOr<kine::PipeWireRequest> ParsePipeWire(absl::string_view which) {
  kine::PipeWireRequest pipewire;
  uint32_t node = 0;
  uint64_t serial = 0;
  if (absl::ConsumePrefix(&which, "node:")) {
    if (!absl::SimpleAtoi(which, &node))
      return Wrong("source", which, "give a node's number: pipewire:node:42");
    pipewire.node = node;
  } else if (absl::ConsumePrefix(&which, "serial:")) {
    if (!absl::SimpleAtoi(which, &serial))
      return Wrong("source", which, "give a serial: pipewire:serial:42");
    pipewire.serial = serial;
  } else {
    pipewire.name = std::string(which);
  }
  return pipewire;
}

absl::Status ParseSource(const Args& args, Settings& settings) {
  const std::string text = args.Get("source");
  const absl::string_view source = text;
  if (source == "test") {
    kine::TestRequest test;
    test.fps = settings.fps_max;
    KINE_RETURN_IF_ERROR(ParseTestSource(args, test));
    settings.source = test;
    return absl::OkStatus();
  }
  for (const char* flag : {"size", "pattern"}) {
    if (args.Has(flag)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--", flag, " describes --source=test; a desktop has its own"));
    }
  }
  if (source.empty() || source == "auto") {
    settings.source = kine::AutoRequest{};
  } else if (source == "portal") {
    settings.source = kine::PortalRequest{};
  } else if (source == "pipewire") {
    settings.source = kine::PipeWireRequest{};
  } else if (absl::StartsWith(source, "pipewire:") && source.size() > 9) {
    KINE_ASSIGN_OR_RETURN(settings.source, ParsePipeWire(source.substr(9)));
  } else {
    return Wrong("source", source,
                 "give auto, test, portal, pipewire, pipewire:NAME, "
                 "pipewire:node:ID or pipewire:serial:N");
  }
  return absl::OkStatus();
}

// As X11 writes geometries: 800x600+100+50.
absl::Status ParseCrop(const Args& args, Settings& settings) {
  if (!args.Has("crop")) return absl::OkStatus();
  const std::string text = args.Get("crop");
  const std::vector<std::string> parts = absl::StrSplit(text, '+');
  Settings::Crop crop;
  auto size = ParseSize(parts[0]);
  if (parts.size() != 3 || !size.ok() || !absl::SimpleAtoi(parts[1], &crop.x) ||
      !absl::SimpleAtoi(parts[2], &crop.y))
    return Wrong("crop", text,
                 "give width, height and upper left corner: 800x600+100+50");
  crop.width = size->width;
  crop.height = size->height;
  settings.crop = crop;
  return absl::OkStatus();
}

absl::Status ParseLimits(const Args& args, Settings& settings) {
  if (args.Has("max_bytes")) {
    KINE_ASSIGN_OR_RETURN(settings.max_bytes,
                          ParseBytes(args.Get("max_bytes")));
  }
  if (args.Has("duration")) {
    KINE_ASSIGN_OR_RETURN(const absl::Duration duration,
                          ParseDuration(args.Get("duration")));
    settings.max_duration_ms = absl::ToInt64Milliseconds(duration);
  }
  int quality = 0;
  if (args.Has("quality")) {
    if (!absl::SimpleAtoi(args.Get("quality"), &quality))
      return Wrong("quality", args.Get("quality"), "give 0 (worst) to 100");
    settings.quality = quality;
  }
  if (args.Has("bitrate")) {
    uint64_t bitrate = 0;
    if (!absl::SimpleAtoi(args.Get("bitrate"), &bitrate))
      return Wrong("bitrate", args.Get("bitrate"), "give bits a second");
    settings.bitrate = bitrate;
  }
  return absl::OkStatus();
}

}  // namespace

std::string FreshId(absl::string_view kind) {
  return absl::StrCat(
      kind, "-",
      absl::FormatTime("%Y%m%d-%H%M%S", absl::Now(), absl::LocalTimeZone()),
      "-", ::getpid());
}

absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text) {
  double seconds = 0;
  absl::Duration duration;
  if (absl::SimpleAtod(text, &seconds)) {
    duration = absl::Seconds(seconds);
  } else if (!absl::ParseDuration(text, &duration)) {
    return absl::InvalidArgumentError(absl::StrCat(
        Quoted(text), " is no duration; give one such as 5s, 500ms or 1m30s"));
  }
  if (duration <= absl::ZeroDuration() ||
      duration > absl::Milliseconds(kine::limits::kMaxDurationMaxMs)) {
    return absl::InvalidArgumentError(absl::StrCat(
        Quoted(text), " is out of range; a recording may last up to ",
        kine::limits::kMaxDurationMaxMs / 3'600'000, " h"));
  }
  return duration;
}

absl::StatusOr<uint64_t> ParseBytes(absl::string_view text) {
  absl::string_view digits = text;
  int shift = 0;
  if (!digits.empty()) {
    switch (absl::ascii_toupper(static_cast<uint8_t>(digits.back()))) {
      case 'K':
        shift = 10;
        break;
      case 'M':
        shift = 20;
        break;
      case 'G':
        shift = 30;
        break;
      default:
        break;
    }
  }
  if (shift != 0) digits.remove_suffix(1);
  uint64_t bytes = 0;
  if (!absl::SimpleAtoi(digits, &bytes) || bytes > (UINT64_MAX >> shift)) {
    return absl::InvalidArgumentError(absl::StrCat(
        Quoted(text), " is no size; give bytes, or such as 64K, 100M, 2G"));
  }
  return bytes << shift;
}

absl::StatusOr<Size> ParseSize(absl::string_view text) {
  const std::vector<std::string> parts = absl::StrSplit(text, 'x');
  Size size;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &size.width) ||
      !absl::SimpleAtoi(parts[1], &size.height)) {
    return absl::InvalidArgumentError(absl::StrCat(
        Quoted(text), " is no picture size; give one such as 1280x720"));
  }
  return size;
}

absl::StatusOr<kine::RecordingRequest> RequestOf(const Args& args) {
  kine::RecordingRequest request;
  Settings& settings = request.settings;
  request.id = args.Get("id");
  if (args.Has("id") && !kine::IsRecordingId(request.id)) {
    return Wrong("id", request.id,
                 "give up to 64 letters, digits, '.', '_' and '-', a letter or "
                 "digit first");
  }
  if (args.Has("fps") && !absl::SimpleAtod(args.Get("fps"), &settings.fps_max))
    return Wrong("fps", args.Get("fps"), "give frames a second");
  KINE_RETURN_IF_ERROR(ParseSource(args, settings));
  KINE_RETURN_IF_ERROR(ParseLimits(args, settings));
  static constexpr Word<Settings::Profile> kProfiles[] = {
      {"instant", Settings::Profile::kInstant},
      {"studio", Settings::Profile::kStudio}};
  static constexpr Word<Settings::Encoder> kEncoders[] = {
      {"auto", Settings::Encoder::kAuto},
      {"vaapi", Settings::Encoder::kVaapi},
      {"software", Settings::Encoder::kSoftware}};
  static constexpr Word<Settings::Durability> kDurabilities[] = {
      {"fragment", Settings::Durability::kFragment},
      {"finish", Settings::Durability::kFinish}};
  static constexpr Word<Settings::Cursor> kCursors[] = {
      {"embedded", Settings::Cursor::kEmbedded},
      {"metadata", Settings::Cursor::kMetadata}};
  KINE_RETURN_IF_ERROR(Pick(args, "profile", kProfiles, settings.profile));
  KINE_RETURN_IF_ERROR(Pick(args, "encoder", kEncoders, settings.encoder));
  KINE_RETURN_IF_ERROR(
      Pick(args, "durability", kDurabilities, settings.durability));
  if (args.Has("cursor"))
    KINE_RETURN_IF_ERROR(
        Pick(args, "cursor", kCursors, settings.cursor.emplace()));
  KINE_RETURN_IF_ERROR(ParseCrop(args, settings));
  if (args.Has("idle_stop")) {
    KINE_ASSIGN_OR_RETURN(const absl::Duration idle,
                          ParseDuration(args.Get("idle_stop")));
    settings.idle.stop_after_ms = absl::ToInt64Milliseconds(idle);
  }
  if (args.Has("compact_after")) {
    KINE_ASSIGN_OR_RETURN(const absl::Duration after,
                          ParseDuration(args.Get("compact_after")));
    settings.idle.compact_after_ms = absl::ToInt64Milliseconds(after);
  }
  if (args.Has("compact_speed") &&
      !absl::SimpleAtoi(args.Get("compact_speed"),
                        &settings.idle.compact_speed))
    return Wrong("compact_speed", args.Get("compact_speed"),
                 "give a whole number");
  KINE_RETURN_IF_ERROR(ParseLabels(args, request));
  if (args.Has("restart"))
    request.on_existing = kine::RecordingRequest::OnExisting::kRestart;
  // The daemon's own rules, before it is asked.
  return kine::ParseRecordingRequest(kine::ToJson(request));
}

std::string HumanBytes(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  if (bytes < 1024) return absl::StrCat(bytes, " B");
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  return absl::StrFormat("%.1f %s", value, kUnits[unit]);
}

std::string HumanDuration(int64_t micros) {
  const int64_t tenths = micros / 100'000;
  const int64_t seconds = tenths / 10;
  const std::string tail =
      absl::StrFormat("%02d.%d", seconds % 60, tenths % 10);
  if (seconds < 3600) return absl::StrFormat("%d:%s", seconds / 60, tail);
  return absl::StrFormat("%d:%02d:%s", seconds / 3600, seconds / 60 % 60, tail);
}

std::string Encoded(absl::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = absl::ascii_isalnum(static_cast<uint8_t>(c)) ||
                       c == '-' || c == '_' || c == '.' || c == '~';
    if (plain) {
      out.push_back(c);
    } else {
      absl::StrAppendFormat(&out, "%%%02X", static_cast<uint8_t>(c));
    }
  }
  return out;
}

}  // namespace kinectl
