#include "encode/picture/color_kernel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <vector>

#include "tests/encode/test_frames.h"

namespace kine {
namespace {

struct Converted {
  std::vector<uint8_t> luma_a;
  std::vector<uint8_t> luma_b;
  std::vector<uint8_t> chroma;
  bool operator==(const Converted&) const = default;
};

Converted Convert(const ColorKernel& kernel, const std::vector<uint8_t>& a,
                  const std::vector<uint8_t>& b, const YuvWeights& weights) {
  const size_t pixels = a.size() / 4;
  Converted out{std::vector<uint8_t>(pixels), std::vector<uint8_t>(pixels),
                std::vector<uint8_t>(pixels)};
  kernel.convert(a.data(), b.data(), static_cast<int>(pixels), weights,
                 out.luma_a.data(), out.luma_b.data(), out.chroma.data());
  return out;
}

const ColorKernel& Scalar() { return ColorKernels().back(); }

std::vector<YuvWeights> AllWeights() {
  std::vector<YuvWeights> all = {RgbWeights(2, 1, 0), RgbWeights(0, 1, 2),
                                 RgbWeights(3, 2, 1), RgbWeights(1, 2, 3)};
  for (ColorMatrix matrix : {ColorMatrix::kBt601, ColorMatrix::kBt709}) {
    for (ColorRange range : {ColorRange::kLimited, ColorRange::kFull}) {
      all.push_back(YuvToYuvWeights(matrix, range));
    }
  }
  return all;
}

TEST(ColorKernel, TheLastOneIsScalarAndX86HasFasterOnes) {
  EXPECT_STREQ(Scalar().name, "scalar");
#if defined(__x86_64__)
  EXPECT_GE(ColorKernels().size(), 2u);
#endif
}

TEST(ColorKernel, EveryKernelGivesTheSameBits) {
  std::mt19937 random(1);
  for (const YuvWeights& weights : AllWeights()) {
    for (size_t pixels = 16; pixels <= 16 * 9; pixels += 16) {
      std::vector<uint8_t> a(pixels * 4);
      std::vector<uint8_t> b(pixels * 4);
      // Extremes are where saturation would show.
      const bool extreme = pixels % 32 == 0;
      for (auto* row : {&a, &b}) {
        for (uint8_t& byte : *row) {
          byte = static_cast<uint8_t>(random() >> 24);
          if (extreme) byte = byte < 128 ? 0 : 255;
        }
      }
      const Converted expected = Convert(Scalar(), a, b, weights);
      for (const ColorKernel& kernel : ColorKernels()) {
        EXPECT_EQ(Convert(kernel, a, b, weights), expected)
            << kernel.name << " " << pixels;
      }
    }
  }
}

TEST(ColorKernel, EveryThirdRgbColourIsWithinOneOfDoublePrecision) {
  const YuvWeights weights = RgbWeights(2, 1, 0);
  double worst = 0;
  for (int r = 0; r < 256; r += 3) {
    for (int g = 0; g < 256; g += 3) {
      std::vector<uint8_t> row;
      std::vector<Yuv> expected;
      for (int b = 0; b < 256; b += 3) {
        for (int twice = 0; twice < 2; ++twice) {
          for (int byte : {b, g, r, 77}) {
            row.push_back(static_cast<uint8_t>(byte));
          }
        }
        expected.push_back(ReferenceYuv(r, g, b));
      }
      row.resize((row.size() + 63) / 64 * 64);
      const Converted out = Convert(ColorKernels().front(), row, row, weights);
      for (size_t i = 0; i < expected.size(); ++i) {
        worst = std::max({worst, std::abs(out.luma_a[2 * i] - expected[i].y),
                          std::abs(out.luma_b[2 * i + 1] - expected[i].y),
                          std::abs(out.chroma[2 * i] - expected[i].u),
                          std::abs(out.chroma[2 * i + 1] - expected[i].v)});
      }
    }
  }
  // Rounding alone is 0.5; the weights add almost nothing.
  EXPECT_LT(worst, 0.52);
}

TEST(ColorKernel, ChromaIsTheAverageOfFourPixels) {
  std::mt19937 random(5);
  std::vector<uint8_t> a(64 * 64);
  std::vector<uint8_t> b(64 * 64);
  for (auto* row : {&a, &b}) {
    for (uint8_t& byte : *row) byte = static_cast<uint8_t>(random() >> 24);
  }
  const Converted out =
      Convert(ColorKernels().front(), a, b, RgbWeights(0, 1, 2));
  for (size_t i = 0; i < a.size() / 8; ++i) {
    double mean[3] = {};
    for (size_t c = 0; c < 3; ++c) {
      mean[c] =
          (a[8 * i + c] + a[8 * i + 4 + c] + b[8 * i + c] + b[8 * i + 4 + c]) /
          4.0;
    }
    const Yuv yuv = ReferenceYuv(mean[0], mean[1], mean[2]);
    EXPECT_NEAR(out.chroma[2 * i], yuv.u, 0.52);
    EXPECT_NEAR(out.chroma[2 * i + 1], yuv.v, 0.52);
  }
}

TEST(ColorKernel, GreyHasNoColourAndTheRangeEndsAreExact) {
  const YuvWeights weights = RgbWeights(2, 1, 0);
  for (int grey = 0; grey < 256; ++grey) {
    const std::vector<uint8_t> row(64, static_cast<uint8_t>(grey));
    const Converted out = Convert(Scalar(), row, row, weights);
    EXPECT_EQ(out.chroma, std::vector<uint8_t>(16, 128)) << grey;
    EXPECT_EQ(out.luma_a[0], std::lround(16 + grey * 219 / 255.0)) << grey;
  }
}

TEST(ColorKernel, PureRedIsWhatBt709Says) {
  std::vector<uint8_t> row;
  for (int i = 0; i < 16; ++i) row.insert(row.end(), {0, 0, 255, 0});
  const Converted out = Convert(Scalar(), row, row, RgbWeights(2, 1, 0));
  EXPECT_EQ(out.luma_a[0], 63);  // BT.601 would be 82.
  EXPECT_EQ(out.chroma[0], 102);
  EXPECT_EQ(out.chroma[1], 240);
}

// Y'CbCr of `matrix` and `range` to R'G'B' in 0..255, from the definition.
std::array<double, 3> ToRgb(ColorMatrix matrix, ColorRange range, double y,
                            double u, double v) {
  const bool bt601 = matrix == ColorMatrix::kBt601;
  const double red = bt601 ? 0.299 : 0.2126;
  const double blue = bt601 ? 0.114 : 0.0722;
  const bool full = range == ColorRange::kFull;
  const double luma = full ? y / 255 : (y - 16) / 219;
  const double cb = (u - 128) / (full ? 255 : 224);
  const double cr = (v - 128) / (full ? 255 : 224);
  const double r = luma + 2 * (1 - red) * cr;
  const double b = luma + 2 * (1 - blue) * cb;
  const double g = (luma - red * r - blue * b) / (1 - red - blue);
  return {r * 255, g * 255, b * 255};
}

TEST(ColorKernel, OtherYuvCodingsAreConvertedWithinOne) {
  for (ColorMatrix matrix : {ColorMatrix::kBt601, ColorMatrix::kBt709}) {
    for (ColorRange range : {ColorRange::kLimited, ColorRange::kFull}) {
      const YuvWeights weights = YuvToYuvWeights(matrix, range);
      for (int y = 0; y < 256; y += 5) {
        for (int u = 0; u < 256; u += 5) {
          for (int v = 0; v < 256; v += 5) {
            const auto byte = [](int i) { return static_cast<uint8_t>(i); };
            std::vector<uint8_t> row;
            for (int i = 0; i < 16; ++i) {
              row.insert(row.end(), {byte(y), byte(u), byte(v), 0});
            }
            const Converted out = Convert(Scalar(), row, row, weights);
            const auto rgb = ToRgb(matrix, range, y, u, v);
            const Yuv yuv = ReferenceYuv(rgb[0], rgb[1], rgb[2]);
            ASSERT_NEAR(out.luma_a[0], std::clamp(yuv.y, 0.0, 255.0), 1);
            ASSERT_NEAR(out.chroma[0], std::clamp(yuv.u, 0.0, 255.0), 1);
            ASSERT_NEAR(out.chroma[1], std::clamp(yuv.v, 0.0, 255.0), 1);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace kine
