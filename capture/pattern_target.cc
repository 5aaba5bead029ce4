#include <drm_fourcc.h>

#include <algorithm>
#include <cassert>
#include <optional>

#include "capture/pattern.h"

namespace kine {
namespace {

// The byte of each channel within a packed RGB pixel.
struct PackedLayout {
  int bytes;
  int red, green, blue;
  int alpha;  // Or the unused byte; -1: none.
};

std::optional<PackedLayout> PackedLayoutOf(uint32_t fourcc) {
  switch (fourcc) {
    case DRM_FORMAT_XRGB8888:
    case DRM_FORMAT_ARGB8888:
      return PackedLayout{4, 2, 1, 0, 3};
    case DRM_FORMAT_XBGR8888:
    case DRM_FORMAT_ABGR8888:
      return PackedLayout{4, 0, 1, 2, 3};
    case DRM_FORMAT_RGBX8888:
    case DRM_FORMAT_RGBA8888:
      return PackedLayout{4, 3, 2, 1, 0};
    case DRM_FORMAT_BGRX8888:
    case DRM_FORMAT_BGRA8888:
      return PackedLayout{4, 1, 2, 3, 0};
    case DRM_FORMAT_RGB888:
      return PackedLayout{3, 2, 1, 0, -1};
    case DRM_FORMAT_BGR888:
      return PackedLayout{3, 0, 1, 2, -1};
    default:
      return std::nullopt;
  }
}

bool IsYuv(uint32_t fourcc) {
  return fourcc == DRM_FORMAT_NV12 || fourcc == DRM_FORMAT_YUV420;
}

int Red(uint32_t pixel) { return static_cast<int>(pixel >> 16 & 0xff); }
int Green(uint32_t pixel) { return static_cast<int>(pixel >> 8 & 0xff); }
int Blue(uint32_t pixel) { return static_cast<int>(pixel & 0xff); }

void PackRow(const PackedLayout& layout, const uint32_t* row, int width,
             std::byte* out) {
  for (int i = 0; i < width; ++i, out += layout.bytes) {
    out[layout.red] = static_cast<std::byte>(Red(row[i]));
    out[layout.green] = static_cast<std::byte>(Green(row[i]));
    out[layout.blue] = static_cast<std::byte>(Blue(row[i]));
    if (layout.alpha >= 0) out[layout.alpha] = std::byte{0xff};
  }
}

// BT.709, limited range, 16 fractional bits.
std::byte Luma(uint32_t p) {
  return static_cast<std::byte>((11'966 * Red(p) + 40'254 * Green(p) +
                                 4'064 * Blue(p) + (16 << 16) + (1 << 15)) >>
                                16);
}

// `sum` channels are of `count` pixels.
struct Sum {
  int red = 0, green = 0, blue = 0, count = 0;
  void Add(uint32_t p) {
    red += Red(p);
    green += Green(p);
    blue += Blue(p);
    ++count;
  }
};

int Chroma(int red, int green, int blue, int count) {
  assert(count > 0);
  const int scaled = (red + green + blue) / count;
  return (scaled + (128 << 16) + (1 << 15)) >> 16;
}
int Cb(const Sum& s) {
  return Chroma(-6'596 * s.red, -22'189 * s.green, 28'784 * s.blue, s.count);
}
int Cr(const Sum& s) {
  return Chroma(28'784 * s.red, -26'145 * s.green, -2'639 * s.blue, s.count);
}

}  // namespace

bool PatternTarget::Knows(uint32_t fourcc) {
  return PackedLayoutOf(fourcc).has_value() || IsYuv(fourcc);
}

bool PatternTarget::subsampled() const { return IsYuv(fourcc); }

void PatternTarget::Write(const Rect& rect, const uint32_t* pixels) const {
  if (subsampled()) return WriteYuv(rect, pixels);
  const std::optional<PackedLayout> layout = PackedLayoutOf(fourcc);
  for (int k = 0; k < rect.height; ++k, pixels += rect.width) {
    PackRow(*layout, pixels, rect.width,
            planes[0].data +
                static_cast<size_t>(rect.y + k) * planes[0].stride +
                rect.x * layout->bytes);
  }
}

void PatternTarget::WriteYuv(const Rect& rect, const uint32_t* pixels) const {
  const size_t width = static_cast<size_t>(rect.width);
  for (int k = 0; k < rect.height; ++k) {
    std::byte* luma = planes[0].data +
                      static_cast<size_t>(rect.y + k) * planes[0].stride +
                      rect.x;
    for (size_t i = 0; i < width; ++i)
      luma[i] = Luma(pixels[static_cast<size_t>(k) * width + i]);
  }
  const bool interleaved = fourcc == DRM_FORMAT_NV12;
  const Plane& u = planes[1];
  const Plane& v = planes[interleaved ? 1 : 2];
  const size_t step = interleaved ? 2 : 1;
  const size_t row = static_cast<size_t>(rect.y / 2);
  size_t at = static_cast<size_t>(rect.x / 2) * step;
  for (size_t i = 0; i < width; i += 2, at += step) {
    Sum sum;
    for (int k = 0; k < rect.height; ++k) {
      for (size_t j = i; j < std::min(i + 2, width); ++j)
        sum.Add(pixels[static_cast<size_t>(k) * width + j]);
    }
    u.data[row * u.stride + at] = static_cast<std::byte>(Cb(sum));
    v.data[row * v.stride + at + step - 1] = static_cast<std::byte>(Cr(sum));
  }
}

}  // namespace kine
