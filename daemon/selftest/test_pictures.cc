#include "daemon/selftest/test_pictures.h"

#include <algorithm>
#include <cmath>

#include "capture/pattern.h"
#include "daemon/doctor/self_test_report.h"

namespace kine {
namespace {

constexpr uint32_t kXrgb = 0x34325258;  // DRM_FORMAT_XRGB8888

// Of one pixel, or of some, weighted: the formulas are linear.
struct Rgb {
  double r = 0;
  double g = 0;
  double b = 0;

  void Add(const std::byte* pixel, double weight) {
    b += weight * std::to_integer<int>(pixel[0]);
    g += weight * std::to_integer<int>(pixel[1]);
    r += weight * std::to_integer<int>(pixel[2]);
  }
  // BT.709, before the range: 0 .. 255.
  double Luma() const { return 0.2126 * r + 0.7152 * g + 0.0722 * b; }
};

uint8_t Rounded(double value) {
  return static_cast<uint8_t>(std::clamp(std::lround(value), 0l, 255l));
}

}  // namespace

Frame TestPicture::ToFrame(MonoTime time) const {
  Frame frame;
  frame.format = {.fourcc = kXrgb, .width = width, .height = height};
  frame.crop = {0, 0, width, height};
  frame.plane_count = 1;
  frame.planes[0].data = pixels.data();
  frame.planes[0].size = pixels.size();
  frame.planes[0].stride = static_cast<uint32_t>(width) * 4;
  frame.time = time;
  frame.arrival = time;
  return frame;
}

TestPicture DrawTestPicture(int width, int height, uint64_t number) {
  TestPicture picture{width, height, {}};
  const size_t stride = static_cast<size_t>(width) * 4;
  picture.pixels.resize(stride * static_cast<size_t>(height));
  PatternTarget target;
  target.fourcc = kXrgb;
  target.planes[0] = {picture.pixels.data(), stride};
  // Coloured bands above, where chroma is looked at; text below, where a
  // blurred or shifted picture shows.
  const auto time = MonoTime::FromNanos(static_cast<int64_t>(number) * 1000);
  const PatternPicture bands(PatternPicture::Pattern::kVideo, width, height);
  bands.Draw(number, time, Damage::Full(), target);
  const PatternPicture text(PatternPicture::Pattern::kScroll, width, height);
  Damage lower;
  lower.Add({0, height / 4 * 3, width, height - height / 4 * 3});
  text.Draw(number * 3, time, lower, target);
  return picture;
}

std::vector<uint8_t> ReferenceI420(const TestPicture& picture) {
  const auto width = static_cast<size_t>(picture.width);
  const auto height = static_cast<size_t>(picture.height);
  std::vector<uint8_t> out;
  out.reserve(width * height * 3 / 2);
  for (size_t i = 0; i < width * height; ++i) {
    Rgb color;
    color.Add(&picture.pixels[i * 4], 1);
    out.push_back(Rounded(16 + 219 * color.Luma() / 255));
  }
  std::vector<uint8_t> v;
  for (size_t y = 0; y < height; y += 2) {
    for (size_t x = 0; x < width; x += 2) {
      // Columns weigh 1 2 1 around the one that the sample stands on.
      Rgb mean;
      for (const size_t row : {y, y + 1}) {
        const std::byte* const pixels = &picture.pixels[row * width * 4];
        mean.Add(pixels + (x == 0 ? 0 : x - 1) * 4, 0.125);
        mean.Add(pixels + x * 4, 0.25);
        mean.Add(pixels + (x + 1) * 4, 0.125);
      }
      const double luma = mean.Luma();
      out.push_back(Rounded(128 + 224 * (mean.b - luma) / 1.8556 / 255));
      v.push_back(Rounded(128 + 224 * (mean.r - luma) / 1.5748 / 255));
    }
  }
  out.insert(out.end(), v.begin(), v.end());
  return out;
}

double Psnr(std::span<const uint8_t> a, std::span<const uint8_t> b) {
  if (a.empty() || a.size() != b.size()) return 0;
  double squares = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = static_cast<double>(a[i]) - b[i];
    squares += difference * difference;
  }
  if (squares == 0) return kPsnrSame;
  const double mean = squares / static_cast<double>(a.size());
  return std::clamp(10 * std::log10(255.0 * 255.0 / mean), 0.0, kPsnrSame);
}

}  // namespace kine
