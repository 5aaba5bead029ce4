#include "daemon/frames/png.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace kine::frames {
namespace {

// A picture of 2x2 pixels of one colour.
struct Flat {
  explicit Flat(uint8_t y, uint8_t u, uint8_t v)
      : luma(4, y), cb(1, u), cr(1, v) {
    picture.width = picture.height = 2;
    picture.planes[0] = luma.data();
    picture.planes[1] = cb.data();
    picture.planes[2] = cr.data();
    picture.strides[0] = 2;
    picture.strides[1] = picture.strides[2] = 1;
  }
  std::vector<uint8_t> luma, cb, cr;
  DecodedPicture picture;
};

int Rounded(double value) {
  return static_cast<int>(std::lround(std::clamp(value, 0.0, 255.0)));
}

// BT.709 as it is written: Kr = 0.2126, Kb = 0.0722.
TEST(RowToRgbTest, IsBt709LimitedWithinOne) {
  for (int y = 0; y < 256; y += 5) {
    for (int u = 0; u < 256; u += 15) {
      for (int v = 0; v < 256; v += 15) {
        const Flat flat(static_cast<uint8_t>(y), static_cast<uint8_t>(u),
                        static_cast<uint8_t>(v));
        uint8_t rgb[6];
        RowToRgb(flat.picture, 1, rgb);
        const double luma = (y - 16) / 219.0;
        const double cb = (u - 128) / 224.0;
        const double cr = (v - 128) / 224.0;
        const double red = luma + 2 * (1 - 0.2126) * cr;
        const double blue = luma + 2 * (1 - 0.0722) * cb;
        const double green =
            (luma - 0.2126 * red - 0.0722 * blue) / (1 - 0.2126 - 0.0722);
        EXPECT_NEAR(rgb[3], Rounded(255 * red), 1);
        EXPECT_NEAR(rgb[4], Rounded(255 * green), 1);
        EXPECT_NEAR(rgb[5], Rounded(255 * blue), 1);
      }
    }
  }
}

TEST(ToPngTest, IsOnePng) {
  const absl::StatusOr<std::string> png = ToPng(Flat(120, 90, 200).picture);
  ASSERT_TRUE(png.ok()) << png.status();
  EXPECT_THAT(*png, testing::StartsWith("\x89PNG\r\n"));
  EXPECT_THAT(*png, testing::HasSubstr("IEND"));
}

TEST(ToPngTest, ASizeThatPngDoesNotKnowIsAnError) {
  Flat flat(1, 2, 3);
  flat.picture.height = 0;
  const absl::StatusOr<std::string> png = ToPng(flat.picture);
  ASSERT_FALSE(png.ok());
  EXPECT_THAT(std::string(png.status().message()), testing::HasSubstr("PNG: "));
}

}  // namespace
}  // namespace kine::frames
