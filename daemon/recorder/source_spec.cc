#include "daemon/recorder/source_spec.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "capture/pixel_format.h"
#include "daemon/base/limits.h"

namespace kine {
namespace {

// What a profile means when the request says neither quality nor bit rate.
constexpr int kQualityInstant = 60;
constexpr int kQualityStudio = 80;

struct ToSpec {
  const std::string& restore_token;  // Of the last start; may be empty.
  const bool cursor_as_data;

  SourceSpec operator()(const AutoRequest&) const {
    return AutoSpec{.restore_token = restore_token,
                    .cursor_as_data = cursor_as_data};
  }

  SourceSpec operator()(const TestRequest& request) const {
    TestPatternSpec spec;
    spec.width = request.width;
    spec.height = request.height;
    spec.fps = request.fps;
    switch (request.pattern) {
      case TestRequest::Pattern::kScroll:
        spec.pattern = TestPatternSpec::Pattern::kScroll;
        break;
      case TestRequest::Pattern::kTyping:
        spec.pattern = TestPatternSpec::Pattern::kTyping;
        break;
      case TestRequest::Pattern::kVideo:
        spec.pattern = TestPatternSpec::Pattern::kVideo;
        break;
      case TestRequest::Pattern::kStill:
        spec.pattern = TestPatternSpec::Pattern::kStill;
        break;
    }
    return spec;
  }

  SourceSpec operator()(const PipeWireRequest& request) const {
    PipeWireSpec spec;
    spec.node_name = request.name;
    spec.node_id = request.node;
    spec.serial = request.serial;
    spec.remote = request.remote;
    return spec;
  }

  SourceSpec operator()(const PortalRequest& request) const {
    PortalSpec spec;
    spec.types = request.types;
    spec.restore_token =
        request.restore_token.empty() ? restore_token : request.restore_token;
    spec.persist = request.persist;
    spec.cursor_as_data = cursor_as_data;
    return spec;
  }
};

// "XR24": the four characters of a DRM fourcc.
std::string FourccText(uint32_t fourcc) {
  std::string text;
  for (int shift = 0; shift < 32; shift += 8) {
    const char c = static_cast<char>((fourcc >> shift) & 0x7f);
    text.push_back(c < ' ' || c == 0x7f ? '?' : c);
  }
  return text;
}

}  // namespace

SourceSpec ToSourceSpec(const CaptureKey& key,
                        const std::string& restore_token) {
  return std::visit(
      ToSpec{restore_token, key.cursor == RecordingSettings::Cursor::kMetadata},
      key.source);
}

EncoderChoice ToEncoderChoice(RecordingSettings::Encoder encoder) {
  switch (encoder) {
    case RecordingSettings::Encoder::kAuto:
      return EncoderChoice::kAuto;
    case RecordingSettings::Encoder::kVaapi:
      return EncoderChoice::kVaapi;
    case RecordingSettings::Encoder::kSoftware:
      return EncoderChoice::kSoftware;
  }
  return EncoderChoice::kAuto;
}

EncoderConfig ToEncoderConfig(const RecordingSettings& settings) {
  const bool studio = settings.profile == RecordingSettings::Profile::kStudio;
  EncoderConfig config;
  config.fps_max = settings.fps_max;
  config.profile = studio ? EncoderConfig::Profile::kStudio
                          : EncoderConfig::Profile::kInstant;
  config.quality =
      settings.quality.value_or(studio ? kQualityStudio : kQualityInstant);
  config.bitrate = settings.bitrate.value_or(0);
  return config;
}

CaptureRequest ToCaptureRequest(const RecordingSettings& settings,
                                const std::string& restore_token,
                                int queue_packets) {
  CaptureRequest request;
  request.key = CaptureKeyOf(settings);
  request.restore_token = restore_token;
  request.encoding.config = ToEncoderConfig(settings);
  request.encoding.choice = ToEncoderChoice(settings.encoder);
  request.encoding.queue_packets = queue_packets;
  request.encoding.draws_pointer =
      CursorOf(settings) == RecordingSettings::Cursor::kEmbedded;
  if (const auto& crop = settings.crop)
    request.encoding.crop = Rect{crop->x, crop->y, crop->width, crop->height};
  return request;
}

mp4::CompactRule ToCompactRule(int64_t after_ms, int speed) {
  mp4::CompactRule rule;
  rule.after_ticks = static_cast<uint64_t>(std::max<int64_t>(after_ms, 0)) *
                     (limits::kMediaTimeScale / 1000);
  rule.speed = static_cast<uint32_t>(std::max(speed, 1));
  return rule;
}

link::Format ToFormat(const VideoFormat& format,
                      const SourceDescription& description,
                      const EncoderDescription& encoder) {
  link::Format out;
  out.source.kind = description.kind;
  out.source.name = description.name;
  out.source.node_id = description.node_id;
  out.source.serial = description.serial;
  out.source.memory = description.memory;
  out.source.cursor_embedded = description.cursor_embedded;
  out.source.has_damage = description.has_damage;
  out.source.has_times = description.has_times;
  if (!description.refused.empty())
    out.source.refusals.push_back({"auto", description.refused});
  out.width = format.width;
  out.height = format.height;
  out.pixels = FourccText(format.fourcc);
  out.modifier = ModifierName(format.modifier);
  out.encoder.name = encoder.name;
  out.encoder.version = encoder.version;
  out.encoder.profile = encoder.profile;
  out.encoder.color = encoder.color;
  return out;
}

}  // namespace kine
