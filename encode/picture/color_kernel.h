// The colour conversion of two rows: any 4-byte-a-pixel input, through one
// affine map, to BT.709 limited-range NV12. Integer arithmetic without
// intermediate saturation, so every kernel gives the same bits; within 1 of
// double precision (tests/encode/color_kernel_test.cc).
//
// Pure functions; any thread.
#pragma once

#include <cstdint>

#include "absl/types/span.h"
#include "capture/frame.h"

namespace kine {

// out = clamp((sum of weight[i] * byte[i] + offset) >> shift). For chroma the
// bytes are sums over 2x2 pixels: a box average.
struct YuvWeights {
  static constexpr int kLumaShift = 14;
  static constexpr int kChromaShift = kLumaShift + 2;

  int16_t y[4] = {};
  int16_t u[4] = {};
  int16_t v[4] = {};
  int32_t y_offset = 0;  // With the rounding half.
  int32_t u_offset = 0;
  int32_t v_offset = 0;
};

// For RGB pixels whose bytes have these positions (0..3).
YuvWeights RgbWeights(int red, int green, int blue);

// For pixels of bytes Y, U, V, unused that are coded as `matrix`, `range`.
YuvWeights YuvToYuvWeights(ColorMatrix matrix, ColorRange range);

// Converts `pixels` pixels (a multiple of 16) of the rows `a` and `b` (4 bytes
// each pixel, no alignment needed, nothing beyond them is read) to the luma
// rows `luma_a` and `luma_b` of `pixels` bytes and the row `chroma` of U, V
// pairs, `pixels` bytes too.
using ConvertRows = void (*)(const uint8_t* a, const uint8_t* b, int pixels,
                             const YuvWeights& weights, uint8_t* luma_a,
                             uint8_t* luma_b, uint8_t* chroma);

struct ColorKernel {
  const char* name;
  ConvertRows convert;
};

// Those that this processor can run, best first; the last is "scalar".
absl::Span<const ColorKernel> ColorKernels();

}  // namespace kine
