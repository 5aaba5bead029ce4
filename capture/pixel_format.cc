#include "capture/pixel_format.h"

#include <drm_fourcc.h>

#include "absl/strings/str_format.h"

namespace kine {
namespace {

constexpr PixelFormatInfo kFormats[] = {
    {DRM_FORMAT_XRGB8888, "BGRx", 1, 4, false, 0, 0},
    {DRM_FORMAT_ARGB8888, "BGRA", 1, 4, false, 0, 0},
    {DRM_FORMAT_XBGR8888, "RGBx", 1, 4, false, 0, 0},
    {DRM_FORMAT_ABGR8888, "RGBA", 1, 4, false, 0, 0},
    {DRM_FORMAT_RGBX8888, "xBGR", 1, 4, false, 0, 0},
    {DRM_FORMAT_RGBA8888, "ABGR", 1, 4, false, 0, 0},
    {DRM_FORMAT_BGRX8888, "xRGB", 1, 4, false, 0, 0},
    {DRM_FORMAT_BGRA8888, "ARGB", 1, 4, false, 0, 0},
    {DRM_FORMAT_RGB888, "BGR", 1, 3, false, 0, 0},
    {DRM_FORMAT_BGR888, "RGB", 1, 3, false, 0, 0},
    {DRM_FORMAT_NV12, "NV12", 2, 1, true, 1, 1},
    {DRM_FORMAT_YUV420, "I420", 3, 1, true, 1, 1},
};

}  // namespace

const PixelFormatInfo* FindPixelFormat(uint32_t fourcc) {
  for (const PixelFormatInfo& format : kFormats) {
    if (format.fourcc == fourcc) return &format;
  }
  return nullptr;
}

std::string PixelFormatName(uint32_t fourcc) {
  const PixelFormatInfo* info = FindPixelFormat(fourcc);
  return info != nullptr ? std::string(info->name)
                         : absl::StrFormat("0x%08x", fourcc);
}

std::string ModifierName(uint64_t modifier) {
  return modifier == DRM_FORMAT_MOD_LINEAR ? "linear"
                                           : absl::StrFormat("%#x", modifier);
}

}  // namespace kine
