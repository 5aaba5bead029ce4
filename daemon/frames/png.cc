#include "daemon/frames/png.h"

#include <algorithm>

#include "daemon/recorder/png_rows.h"

namespace kine::frames {
namespace {

// BT.709, limited range to full-range RGB, in 1/65536: 255/219 for luma, and
// 255/224 times the standard's 1.5748, 0.1873, 0.4681 and 1.8556 for chroma.
constexpr int kLuma = 76'309;
constexpr int kRedCr = 117'489;
constexpr int kGreenCb = 13'975;
constexpr int kGreenCr = 34'925;
constexpr int kBlueCb = 138'438;

uint8_t Clamped(int value) {
  return static_cast<uint8_t>(std::clamp((value + 32'768) >> 16, 0, 255));
}

}  // namespace

void RowToRgb(const DecodedPicture& picture, int row, uint8_t* rgb) {
  const uint8_t* const y = picture.planes[0] + row * picture.strides[0];
  const uint8_t* const u = picture.planes[1] + row / 2 * picture.strides[1];
  const uint8_t* const v = picture.planes[2] + row / 2 * picture.strides[2];
  for (int x = 0; x < picture.width; ++x, rgb += 3) {
    const int luma = (y[x] - 16) * kLuma;
    const int cb = u[x / 2] - 128;
    const int cr = v[x / 2] - 128;
    rgb[0] = Clamped(luma + cr * kRedCr);
    rgb[1] = Clamped(luma - cb * kGreenCb - cr * kGreenCr);
    rgb[2] = Clamped(luma + cb * kBlueCb);
  }
}

absl::StatusOr<std::string> ToPng(const DecodedPicture& picture) {
  return PngOf(picture.width, picture.height,
               [&picture](int y, uint8_t* rgb) { RowToRgb(picture, y, rgb); });
}

}  // namespace kine::frames
