#include "capture/pipewire_params.h"

#include <drm_fourcc.h>
#include <spa/buffer/buffer.h>
#include <spa/buffer/meta.h>
#include <spa/param/buffers.h>
#include <spa/param/format.h>
#include <spa/param/param.h>
#include <spa/param/video/format.h>
#include <spa/param/video/raw.h>
#include <spa/pod/builder.h>
#include <spa/pod/iter.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "capture/pixel_format.h"
#include "daemon/base/check.h"
#include "daemon/base/limits.h"
#include "daemon/base/status.h"

namespace kine {
namespace {

struct FormatPair {
  spa_video_format spa;
  uint32_t fourcc;
};

// SPA names bytes in memory order, DRM from the top of a little-endian word.
// In the order in which we like them.
constexpr std::array<FormatPair, 12> kFormats = {{
    {SPA_VIDEO_FORMAT_BGRx, DRM_FORMAT_XRGB8888},
    {SPA_VIDEO_FORMAT_BGRA, DRM_FORMAT_ARGB8888},
    {SPA_VIDEO_FORMAT_RGBx, DRM_FORMAT_XBGR8888},
    {SPA_VIDEO_FORMAT_RGBA, DRM_FORMAT_ABGR8888},
    {SPA_VIDEO_FORMAT_xRGB, DRM_FORMAT_BGRX8888},
    {SPA_VIDEO_FORMAT_ARGB, DRM_FORMAT_BGRA8888},
    {SPA_VIDEO_FORMAT_xBGR, DRM_FORMAT_RGBX8888},
    {SPA_VIDEO_FORMAT_ABGR, DRM_FORMAT_RGBA8888},
    {SPA_VIDEO_FORMAT_RGB, DRM_FORMAT_BGR888},
    {SPA_VIDEO_FORMAT_BGR, DRM_FORMAT_RGB888},
    {SPA_VIDEO_FORMAT_NV12, DRM_FORMAT_NV12},
    {SPA_VIDEO_FORMAT_I420, DRM_FORMAT_YUV420},
}};

// Far above any screen: sources that name no rate of their own settle on ours.
constexpr uint32_t kRateCeiling = 1'000;
constexpr uint32_t kRateDefault = 30;
// For sizes that the source leaves open (none that was met does).
constexpr uint32_t kWidthDefault = 1'280;
constexpr uint32_t kHeightDefault = 720;

constexpr int32_t CursorMetaSize(int side) {
  return static_cast<int32_t>(sizeof(spa_meta_cursor) +
                              sizeof(spa_meta_bitmap)) +
         side * side * 4;
}

// The value of `key` when it has `type`; a choice counts as its default.
const spa_pod* FindValue(const spa_pod* format, uint32_t key, uint32_t type) {
  const spa_pod_prop* prop = spa_pod_find_prop(format, nullptr, key);
  if (prop == nullptr) return nullptr;
  const spa_pod* value = &prop->value;
  if (spa_pod_is_choice(value)) {
    const auto* choice = reinterpret_cast<const spa_pod_choice*>(value);
    value = &choice->body.child;
    if (SPA_POD_BODY_SIZE(choice) < sizeof(spa_pod_choice_body) + value->size)
      return nullptr;
  }
  return value->type == type ? value : nullptr;
}

bool FindId(const spa_pod* format, uint32_t key, uint32_t* out) {
  const spa_pod* value = FindValue(format, key, SPA_TYPE_Id);
  return value != nullptr && spa_pod_get_id(value, out) == 0;
}

double FindRate(const spa_pod* format, uint32_t key) {
  const spa_pod* value = FindValue(format, key, SPA_TYPE_Fraction);
  spa_fraction rate{};
  if (value == nullptr || spa_pod_get_fraction(value, &rate) != 0 ||
      rate.denom == 0)
    return 0;
  return static_cast<double>(rate.num) / rate.denom;
}

// The one modifier that is left of a choice.
absl::StatusOr<uint64_t> ReadModifier(const spa_pod* format) {
  const absl::Status broken =
      absl::InvalidArgumentError("Format with a broken modifier");
  const spa_pod* value =
      FindValue(format, SPA_FORMAT_VIDEO_modifier, SPA_TYPE_Long);
  int64_t first = 0;
  if (value == nullptr || spa_pod_get_long(value, &first) != 0) return broken;
  const spa_pod* whole =
      &spa_pod_find_prop(format, nullptr, SPA_FORMAT_VIDEO_modifier)->value;
  if (!spa_pod_is_choice(whole)) return static_cast<uint64_t>(first);
  const auto* choice = reinterpret_cast<const spa_pod_choice*>(whole);
  if (choice->body.type == SPA_CHOICE_None) return static_cast<uint64_t>(first);
  if (choice->body.type != SPA_CHOICE_Enum || value->size != sizeof(int64_t))
    return broken;
  const size_t count =
      (SPA_POD_BODY_SIZE(choice) - sizeof(spa_pod_choice_body)) /
      sizeof(int64_t);
  const auto* values = reinterpret_cast<const std::byte*>(&choice->body + 1);
  for (size_t i = 1; i < count; ++i) {
    int64_t other;
    std::memcpy(&other, values + i * sizeof other, sizeof other);
    if (other != first)
      return absl::UnavailableError("the node has not chosen a modifier yet");
  }
  return static_cast<uint64_t>(first);
}

void ParseColours(const spa_pod* pod, VideoFormat& format) {
  uint32_t matrix = SPA_VIDEO_COLOR_MATRIX_UNKNOWN;
  uint32_t range = SPA_VIDEO_COLOR_RANGE_UNKNOWN;
  FindId(pod, SPA_FORMAT_VIDEO_colorMatrix, &matrix);
  FindId(pod, SPA_FORMAT_VIDEO_colorRange, &range);
  // GStreamer's rule for video that does not say: SD is BT.601.
  const bool bt601 =
      matrix == SPA_VIDEO_COLOR_MATRIX_BT601 ||
      (matrix != SPA_VIDEO_COLOR_MATRIX_BT709 && format.height < 720);
  format.matrix = bt601 ? ColorMatrix::kBt601 : ColorMatrix::kBt709;
  format.range = range == SPA_VIDEO_COLOR_RANGE_0_255 ? ColorRange::kFull
                                                      : ColorRange::kLimited;
}

}  // namespace

// Grows `memory_` by whatever each pod needs: a pod is written twice, first to
// learn its size.
class ParamList::Builder {
 public:
  explicit Builder(ParamList& list) : list_(list) {}

  template <typename Write>
  void Add(Write write) {
    spa_pod_builder counter{};
    write(&counter);
    offsets_.push_back(list_.memory_.size());
    const uint32_t size = counter.state.offset;
    list_.memory_.resize(list_.memory_.size() + (size + 7) / 8);
    spa_pod_builder builder{};
    spa_pod_builder_init(&builder, &list_.memory_[offsets_.back()], size);
    write(&builder);
    KINE_CHECK(builder.state.offset == size);
  }

  void AddMeta(uint32_t type, int32_t preferred, int32_t min, int32_t max) {
    Add([&](spa_pod_builder* b) {
      spa_pod_frame frame;
      spa_pod_builder_push_object(b, &frame, SPA_TYPE_OBJECT_ParamMeta,
                                  SPA_PARAM_Meta);
      spa_pod_builder_prop(b, SPA_PARAM_META_type, 0);
      spa_pod_builder_id(b, type);
      spa_pod_builder_prop(b, SPA_PARAM_META_size, 0);
      AddRange(b, preferred, min, max);
      spa_pod_builder_pop(b, &frame);
    });
  }

  void AddBuffers(int32_t preferred, int32_t min, int32_t max, int32_t types) {
    Add([&](spa_pod_builder* b) {
      spa_pod_frame frame;
      spa_pod_frame flags;
      spa_pod_builder_push_object(b, &frame, SPA_TYPE_OBJECT_ParamBuffers,
                                  SPA_PARAM_Buffers);
      spa_pod_builder_prop(b, SPA_PARAM_BUFFERS_buffers, 0);
      AddRange(b, preferred, min, max);
      spa_pod_builder_prop(b, SPA_PARAM_BUFFERS_dataType, 0);
      spa_pod_builder_push_choice(b, &flags, SPA_CHOICE_Flags, 0);
      spa_pod_builder_int(b, types);
      spa_pod_builder_pop(b, &flags);
      spa_pod_builder_pop(b, &frame);
    });
  }

  // Only now the memory stays where it is.
  void Finish() {
    for (size_t offset : offsets_) {
      list_.pods_.push_back(
          reinterpret_cast<const spa_pod*>(&list_.memory_[offset]));
    }
  }

 private:
  static void AddRange(spa_pod_builder* b, int32_t preferred, int32_t min,
                       int32_t max) {
    if (min == max) {
      spa_pod_builder_int(b, preferred);
      return;
    }
    spa_pod_frame choice;
    spa_pod_builder_push_choice(b, &choice, SPA_CHOICE_Range, 0);
    for (int32_t value : {preferred, min, max}) spa_pod_builder_int(b, value);
    spa_pod_builder_pop(b, &choice);
  }

  ParamList& list_;
  std::vector<size_t> offsets_;
};

namespace {

void AddRateRange(spa_pod_builder* b, uint32_t key, uint32_t preferred) {
  spa_pod_frame choice;
  spa_pod_builder_prop(b, key, 0);
  spa_pod_builder_push_choice(b, &choice, SPA_CHOICE_Range, 0);
  // 0/1 is "on damage": what screens offer. It is inside the range and not the
  // preferred value, which a source with a range of real rates (a camera)
  // would bend to its slowest.
  for (uint32_t rate : {preferred, 0u, kRateCeiling})
    spa_pod_builder_fraction(b, rate, 1);
  spa_pod_builder_pop(b, &choice);
}

// As the PipeWire documentation wants it of a consumer: the node chooses among
// the modifiers that both know, not the server (DONT_FIXATE), and a node
// without modifiers does not match (MANDATORY).
void WriteModifiers(spa_pod_builder* b, std::span<const uint64_t> modifiers) {
  if (modifiers.size() == 1) {
    spa_pod_builder_prop(b, SPA_FORMAT_VIDEO_modifier,
                         SPA_POD_PROP_FLAG_MANDATORY);
    spa_pod_builder_long(b, static_cast<int64_t>(modifiers[0]));
    return;
  }
  spa_pod_frame choice;
  spa_pod_builder_prop(
      b, SPA_FORMAT_VIDEO_modifier,
      SPA_POD_PROP_FLAG_MANDATORY | SPA_POD_PROP_FLAG_DONT_FIXATE);
  spa_pod_builder_push_choice(b, &choice, SPA_CHOICE_Enum, 0);
  spa_pod_builder_long(b, static_cast<int64_t>(modifiers[0]));
  for (const uint64_t modifier : modifiers)
    spa_pod_builder_long(b, static_cast<int64_t>(modifier));
  spa_pod_builder_pop(b, &choice);
}

// Without modifiers: of memory.
void WriteFormat(spa_pod_builder* b, uint32_t rate,
                 std::span<const FormatPair> formats,
                 std::span<const uint64_t> modifiers) {
  spa_pod_frame frame;
  spa_pod_frame choice;
  spa_pod_builder_push_object(b, &frame, SPA_TYPE_OBJECT_Format,
                              SPA_PARAM_EnumFormat);
  spa_pod_builder_prop(b, SPA_FORMAT_mediaType, 0);
  spa_pod_builder_id(b, SPA_MEDIA_TYPE_video);
  spa_pod_builder_prop(b, SPA_FORMAT_mediaSubtype, 0);
  spa_pod_builder_id(b, SPA_MEDIA_SUBTYPE_raw);
  spa_pod_builder_prop(b, SPA_FORMAT_VIDEO_format, 0);
  spa_pod_builder_push_choice(b, &choice, SPA_CHOICE_Enum, 0);
  spa_pod_builder_id(b, formats[0].spa);  // The default comes twice.
  for (const FormatPair& pair : formats) spa_pod_builder_id(b, pair.spa);
  spa_pod_builder_pop(b, &choice);
  if (!modifiers.empty()) WriteModifiers(b, modifiers);
  spa_pod_builder_prop(b, SPA_FORMAT_VIDEO_size, 0);
  spa_pod_builder_push_choice(b, &choice, SPA_CHOICE_Range, 0);
  spa_pod_builder_rectangle(b, kWidthDefault, kHeightDefault);
  spa_pod_builder_rectangle(b, 1, 1);
  spa_pod_builder_rectangle(b, limits::kPictureSideMax,
                            limits::kPictureSideMax);
  spa_pod_builder_pop(b, &choice);
  AddRateRange(b, SPA_FORMAT_VIDEO_framerate, rate);
  // Twice the rate: mutter drops frames that come microseconds early, so that
  // 60 Hz asked of a 60 Hz screen gives 40.
  AddRateRange(b, SPA_FORMAT_VIDEO_maxFramerate, 2 * rate);
  spa_pod_builder_pop(b, &frame);
}

}  // namespace

ParamList ParamList::Formats(double fps_max,
                             std::span<const DmabufFormat> imports) {
  const double wish = fps_max > 0 ? std::ceil(fps_max) : kRateDefault;
  const auto rate =
      static_cast<uint32_t>(std::clamp(wish, 1.0, kRateCeiling / 2.0));
  ParamList list;
  Builder builder(list);
  for (const DmabufFormat& import : imports) {
    const auto pair =
        std::ranges::find(kFormats, import.fourcc, &FormatPair::fourcc);
    if (pair == kFormats.end() || import.modifiers.empty()) continue;
    std::vector<uint64_t> modifiers = import.modifiers;
    // The last is the one that all can draw.
    if (modifiers.size() > limits::kModifiersMax) {
      modifiers[limits::kModifiersMax - 1] = modifiers.back();
      modifiers.resize(limits::kModifiersMax);
    }
    builder.Add([&](spa_pod_builder* b) {
      WriteFormat(b, rate, {&*pair, 1}, modifiers);
    });
  }
  builder.Add([&](spa_pod_builder* b) { WriteFormat(b, rate, kFormats, {}); });
  builder.Finish();
  return list;
}

ParamList ParamList::BuffersAndMetas(bool dmabuf) {
  const int32_t types = dmabuf ? 1 << SPA_DATA_DmaBuf
                               : 1 << SPA_DATA_MemPtr | 1 << SPA_DATA_MemFd;
  constexpr auto kRegion = static_cast<int32_t>(sizeof(spa_meta_region));
  ParamList list;
  Builder builder(list);
  // The source's preferred number wins inside a range, and 8 buffers of 1080p
  // are 66 MB: so at most 4 are asked first, and up to 16 of a source that
  // insists on more.
  for (const int32_t max :
       {limits::kPipeWireBuffers, limits::kPipeWireBuffersMax})
    builder.AddBuffers(limits::kPipeWireBuffers, 2, max, types);
  builder.AddMeta(SPA_META_Header, sizeof(spa_meta_header),
                  sizeof(spa_meta_header), sizeof(spa_meta_header));
  builder.AddMeta(SPA_META_VideoCrop, kRegion, kRegion, kRegion);
  // Fewer than a source has would be answered with one bounding box.
  builder.AddMeta(SPA_META_VideoDamage, kRegion * Damage::kRectsMax, kRegion,
                  kRegion * Damage::kRectsMax);
  // mutter has 384 x 384 and nothing else.
  builder.AddMeta(SPA_META_Cursor, CursorMetaSize(64), CursorMetaSize(1),
                  CursorMetaSize(limits::kCursorSideMax));
  builder.AddMeta(SPA_META_VideoTransform, sizeof(spa_meta_videotransform),
                  sizeof(spa_meta_videotransform),
                  sizeof(spa_meta_videotransform));
  builder.Finish();
  return list;
}

uint32_t FourccOfSpaFormat(uint32_t spa_format) {
  for (const FormatPair& pair : kFormats)
    if (pair.spa == spa_format) return pair.fourcc;
  return 0;
}

absl::StatusOr<StreamFormat> ParseStreamFormat(const spa_pod* pod) {
  if (pod == nullptr || !spa_pod_is_object_type(pod, SPA_TYPE_OBJECT_Format))
    return absl::InvalidArgumentError("not a Format object");
  uint32_t type = 0;
  uint32_t subtype = 0;
  uint32_t spa_format = 0;
  if (!FindId(pod, SPA_FORMAT_mediaType, &type) ||
      !FindId(pod, SPA_FORMAT_mediaSubtype, &subtype))
    return absl::InvalidArgumentError("Format without a media type");
  if (type != SPA_MEDIA_TYPE_video || subtype != SPA_MEDIA_SUBTYPE_raw) {
    return absl::UnimplementedError(absl::StrCat(
        "the node sends media type ", type, "/", subtype, ", not raw video"));
  }
  if (!FindId(pod, SPA_FORMAT_VIDEO_format, &spa_format))
    return absl::InvalidArgumentError("Format without a pixel format");
  StreamFormat out;
  VideoFormat& format = out.video;
  format.fourcc = FourccOfSpaFormat(spa_format);
  if (format.fourcc == 0) {
    return absl::UnimplementedError(
        absl::StrCat("the node sends pixel format ", spa_format,
                     " (SPA number), which is not supported"));
  }
  format.modifier = DRM_FORMAT_MOD_LINEAR;
  out.dmabuf =
      spa_pod_find_prop(pod, nullptr, SPA_FORMAT_VIDEO_modifier) != nullptr;
  if (out.dmabuf) {
    KINE_ASSIGN_OR_RETURN(format.modifier, ReadModifier(pod));
  }
  const spa_pod* value =
      FindValue(pod, SPA_FORMAT_VIDEO_size, SPA_TYPE_Rectangle);
  spa_rectangle size{};
  if (value == nullptr || spa_pod_get_rectangle(value, &size) != 0)
    return absl::InvalidArgumentError("Format without a size");
  if (size.width < 1 || size.height < 1 ||
      size.width > limits::kPictureSideMax ||
      size.height > limits::kPictureSideMax) {
    return absl::UnimplementedError(absl::StrCat(
        "the node sends pictures of ", size.width, "x", size.height,
        "; at most ", limits::kPictureSideMax, " a side are supported"));
  }
  format.width = static_cast<int>(size.width);
  format.height = static_cast<int>(size.height);
  // A rate of 0/1 is "on damage"; maxFramerate is then a limit, no promise.
  format.max_fps = FindRate(pod, SPA_FORMAT_VIDEO_framerate);
  ParseColours(pod, format);
  return out;
}

}  // namespace kine
