// Pictures for the encode tests: an RGB image with every format, crop, stride
// and transform it can be delivered in, and what its NV12 must be, computed in
// double precision by other means than the code under test.
#pragma once

#include <cstdint>
#include <vector>

#include "capture/frame.h"

namespace kine {

struct Rgb {
  uint8_t r = 0;
  uint8_t g = 0;
  uint8_t b = 0;
};

struct TestImage {
  TestImage(int w, int h)
      : width(w),
        height(h),
        pixels(static_cast<size_t>(w) * static_cast<size_t>(h)) {}
  Rgb& at(int x, int y) {
    return pixels[static_cast<size_t>(y) * static_cast<size_t>(width) +
                  static_cast<size_t>(x)];
  }
  const Rgb& at(int x, int y) const {
    return const_cast<TestImage*>(this)->at(x, y);
  }
  void Fill(const Rect& rect, Rgb color);

  int width;
  int height;
  std::vector<Rgb> pixels;
};

// Random blocks of colour and noise.
TestImage RandomImage(int width, int height, uint32_t seed);
// Lines of letter-like strokes on white, from line `first_line` on.
TestImage TextPage(int width, int height, int first_line);
// Scrolls in steps of this many pixels a line.
inline constexpr int kTextLine = 14;

// `image` as a compositor would have to turn it so that `transform` makes it
// upright again.
TestImage Unturn(const TestImage& image, Transform transform);

struct FrameShape {
  uint32_t fourcc = 0;
  Transform transform = Transform::kNormal;
  // Pixels of the buffer around the crop.
  int left = 0;
  int top = 0;
  int right = 0;
  int bottom = 0;
  int stride_padding = 0;
  // Where unreadable memory touches the plane: behind its last byte (the
  // default) or in front of its first.
  bool guard_in_front = false;
};

// A frame that shows `image` upright. Each plane ends with the last pixel of
// its last row, in front of a page that must not be touched. The memory lives
// until the frame is given back. YUV formats: BT.709 limited.
Frame MakeFrame(const TestImage& image, const FrameShape& shape);

struct ReferencePicture {
  int width = 0;  // Even.
  int height = 0;
  std::vector<double> luma;
  std::vector<double> u;  // Half size both ways.
  std::vector<double> v;
};
ReferencePicture ReferenceOf(const TestImage& image);

struct Yuv {
  double y;
  double u;
  double v;
};
// BT.709 limited.
Yuv ReferenceYuv(double r, double g, double b);

}  // namespace kine
