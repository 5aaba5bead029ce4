// What kinescope-demo-source can show: sizes, patterns, pixel formats and how
// they lie in a buffer.
#pragma once

#include <drm_fourcc.h>
#include <spa/param/video/raw.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "capture/create_source.h"
#include "daemon/base/limits.h"

namespace kine {

struct Size {
  int width = 0;
  int height = 0;
};

inline std::optional<Size> ParseSize(const std::string& text) {
  const std::vector<std::string> sides = absl::StrSplit(text, 'x');
  Size size;
  if (sides.size() != 2 || !absl::SimpleAtoi(sides[0], &size.width) ||
      !absl::SimpleAtoi(sides[1], &size.height))
    return std::nullopt;
  for (const int side : {size.width, size.height}) {
    if (side < limits::kPictureSideMin || side > limits::kPictureSideMax)
      return std::nullopt;
  }
  return size;
}

inline std::optional<TestPatternSpec::Pattern> ParsePattern(
    const std::string& text) {
  using Pattern = TestPatternSpec::Pattern;
  if (text == "scroll") return Pattern::kScroll;
  if (text == "typing") return Pattern::kTyping;
  if (text == "video") return Pattern::kVideo;
  if (text == "still") return Pattern::kStill;
  return std::nullopt;
}

struct FormatRow {
  const char* name;
  uint32_t spa;
  uint32_t fourcc;
};
// PipeWire names bytes in the order of memory, DRM from the most significant.
inline constexpr FormatRow kFormats[] = {
    {"BGRx", SPA_VIDEO_FORMAT_BGRx, DRM_FORMAT_XRGB8888},
    {"BGRA", SPA_VIDEO_FORMAT_BGRA, DRM_FORMAT_ARGB8888},
    {"RGBx", SPA_VIDEO_FORMAT_RGBx, DRM_FORMAT_XBGR8888},
    {"RGBA", SPA_VIDEO_FORMAT_RGBA, DRM_FORMAT_ABGR8888},
    {"xRGB", SPA_VIDEO_FORMAT_xRGB, DRM_FORMAT_BGRX8888},
    {"ARGB", SPA_VIDEO_FORMAT_ARGB, DRM_FORMAT_BGRA8888},
    {"xBGR", SPA_VIDEO_FORMAT_xBGR, DRM_FORMAT_RGBX8888},
    {"ABGR", SPA_VIDEO_FORMAT_ABGR, DRM_FORMAT_RGBA8888},
    {"RGB", SPA_VIDEO_FORMAT_RGB, DRM_FORMAT_BGR888},
    {"BGR", SPA_VIDEO_FORMAT_BGR, DRM_FORMAT_RGB888},
    {"NV12", SPA_VIDEO_FORMAT_NV12, DRM_FORMAT_NV12},
    {"I420", SPA_VIDEO_FORMAT_I420, DRM_FORMAT_YUV420},
};

inline const FormatRow* FindFormat(const std::string& name) {
  for (const FormatRow& row : kFormats) {
    if (name == row.name) return &row;
  }
  return nullptr;
}

// One block of memory that holds all planes, as pipewiresink lays them out:
// the strides of I420's chroma are half of luma's.
struct Layout {
  std::array<size_t, 3> offsets{};
  std::array<size_t, 3> strides{};
  size_t size = 0;
};

inline Layout LayoutOf(uint32_t fourcc, const Size& size) {
  const size_t width = static_cast<size_t>(size.width);
  const size_t height = static_cast<size_t>(size.height);
  const auto round = [](size_t value, size_t unit) {
    return (value + unit - 1) / unit * unit;
  };
  Layout layout;
  if (fourcc != DRM_FORMAT_NV12 && fourcc != DRM_FORMAT_YUV420) {
    const bool three =
        fourcc == DRM_FORMAT_RGB888 || fourcc == DRM_FORMAT_BGR888;
    layout.strides[0] = round(width * (three ? 3 : 4), 4);
    layout.size = layout.strides[0] * height;
    return layout;
  }
  const size_t luma = round(width, 4);
  const size_t luma_size = luma * round(height, 2);
  const bool interleaved = fourcc == DRM_FORMAT_NV12;
  const size_t chroma = interleaved ? luma : round(luma, 8) / 2;
  const size_t chroma_size = chroma * round(height, 2) / 2;
  layout.strides = {luma, chroma, interleaved ? 0 : chroma};
  layout.offsets = {0, luma_size, interleaved ? 0 : luma_size + chroma_size};
  layout.size = luma_size + chroma_size * (interleaved ? 1 : 2);
  return layout;
}

}  // namespace kine
