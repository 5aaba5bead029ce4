#include "encode/picture/color_kernel.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "encode/picture/color_kernel_x86.h"

namespace kine {
namespace {

struct Luma {
  double red;
  double green;
  double blue;
};
constexpr Luma kLuma601 = {0.299, 0.587, 0.114};
constexpr Luma kLuma709 = {0.2126, 0.7152, 0.0722};

using Row = std::array<double, 3>;
using Affine = std::array<Row, 3>;  // Of R, G, B or Y, U, V.

// From R'G'B' in 0..1 to Y in 0..1 and Cb, Cr in -1/2..1/2.
Affine ToYuv(const Luma& k) {
  const double b = 2 * (1 - k.blue);
  const double r = 2 * (1 - k.red);
  return {Row{k.red, k.green, k.blue},
          Row{-k.red / b, -k.green / b, (1 - k.blue) / b},
          Row{(1 - k.red) / r, -k.green / r, -k.blue / r}};
}

// The inverse of ToYuv.
Affine ToRgb(const Luma& k) {
  const double b = 2 * (1 - k.blue);
  const double r = 2 * (1 - k.red);
  return {Row{1, 0, r}, Row{1, -k.blue * b / k.green, -k.red * r / k.green},
          Row{1, b, 0}};
}

Affine Multiply(const Affine& a, const Affine& b) {
  Affine product{};
  for (size_t i = 0; i < 3; ++i) {
    for (size_t j = 0; j < 3; ++j) {
      for (size_t k = 0; k < 3; ++k) product[i][j] += a[i][k] * b[k][j];
    }
  }
  return product;
}

int16_t Fixed(double value) {
  return static_cast<int16_t>(
      std::lround(value * (1 << YuvWeights::kLumaShift)));
}

int32_t Offset(double value, int shift) {
  return static_cast<int32_t>(std::lround((value + 0.5) * (1 << shift)));
}

uint8_t Clamp(int32_t value) {
  return static_cast<uint8_t>(std::clamp(value, 0, 255));
}

void ConvertRowsScalar(const uint8_t* a, const uint8_t* b, int pixels,
                       const YuvWeights& w, uint8_t* luma_a, uint8_t* luma_b,
                       uint8_t* chroma) {
  for (int x = 0; x < pixels; x += 2, a += 8, b += 8) {
    int32_t sum_u = w.u_offset;
    int32_t sum_v = w.v_offset;
    int32_t y[4] = {w.y_offset, w.y_offset, w.y_offset, w.y_offset};
    for (int i = 0; i < 4; ++i) {
      y[0] += w.y[i] * a[i];
      y[1] += w.y[i] * a[4 + i];
      y[2] += w.y[i] * b[i];
      y[3] += w.y[i] * b[4 + i];
      const int sum = a[i] + a[4 + i] + b[i] + b[4 + i];
      sum_u += w.u[i] * sum;
      sum_v += w.v[i] * sum;
    }
    luma_a[x] = Clamp(y[0] >> YuvWeights::kLumaShift);
    luma_a[x + 1] = Clamp(y[1] >> YuvWeights::kLumaShift);
    luma_b[x] = Clamp(y[2] >> YuvWeights::kLumaShift);
    luma_b[x + 1] = Clamp(y[3] >> YuvWeights::kLumaShift);
    chroma[x] = Clamp(sum_u >> YuvWeights::kChromaShift);
    chroma[x + 1] = Clamp(sum_v >> YuvWeights::kChromaShift);
  }
}

}  // namespace

YuvWeights RgbWeights(int red, int green, int blue) {
  const Affine m = ToYuv(kLuma709);
  YuvWeights w;
  w.y[red] = Fixed(m[0][0] * 219 / 255);
  w.y[green] = Fixed(m[0][1] * 219 / 255);
  w.y[blue] = Fixed(m[0][2] * 219 / 255);
  // Green closes the sum, so that grey has no colour whatever the rounding.
  w.u[red] = Fixed(m[1][0] * 224 / 255);
  w.u[blue] = Fixed(m[1][2] * 224 / 255);
  w.u[green] = static_cast<int16_t>(-w.u[red] - w.u[blue]);
  w.v[red] = Fixed(m[2][0] * 224 / 255);
  w.v[blue] = Fixed(m[2][2] * 224 / 255);
  w.v[green] = static_cast<int16_t>(-w.v[red] - w.v[blue]);
  w.y_offset = Offset(16, YuvWeights::kLumaShift);
  w.u_offset = w.v_offset = Offset(128, YuvWeights::kChromaShift);
  return w;
}

YuvWeights YuvToYuvWeights(ColorMatrix matrix, ColorRange range) {
  const bool full = range == ColorRange::kFull;
  const Luma& from = matrix == ColorMatrix::kBt601 ? kLuma601 : kLuma709;
  const Affine m = Multiply(ToYuv(kLuma709), ToRgb(from));
  const Row in_scale = {full ? 255.0 : 219.0, full ? 255.0 : 224.0,
                        full ? 255.0 : 224.0};
  const Row in_zero = {full ? 0.0 : 16.0, 128, 128};
  const Row out_scale = {219, 224, 224};
  const Row out_zero = {16, 128, 128};
  int16_t weights[3][3];
  Row offset = out_zero;
  for (size_t i = 0; i < 3; ++i) {
    for (size_t j = 0; j < 3; ++j) {
      const double weight = m[i][j] * out_scale[i] / in_scale[j];
      weights[i][j] = Fixed(weight);
      offset[i] -= weight * in_zero[j];
    }
  }
  YuvWeights w;
  std::copy_n(weights[0], 3, w.y);
  std::copy_n(weights[1], 3, w.u);
  std::copy_n(weights[2], 3, w.v);
  w.y_offset = Offset(offset[0], YuvWeights::kLumaShift);
  w.u_offset = Offset(offset[1], YuvWeights::kChromaShift);
  w.v_offset = Offset(offset[2], YuvWeights::kChromaShift);
  return w;
}

absl::Span<const ColorKernel> ColorKernels() {
  static const auto* const kKernels = [] {
    auto* list = new std::vector<ColorKernel>();
    AddX86Kernels(*list);
    list->push_back({"scalar", ConvertRowsScalar});
    return list;
  }();
  return *kKernels;
}

}  // namespace kine
