// The self-test's yardstick: known values, and that what is wrong measures so.
#include "daemon/selftest/test_pictures.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "daemon/doctor/doctor_limits.h"
#include "daemon/doctor/self_test_report.h"

namespace kine {
namespace {

constexpr int kWidth = limits::kSelfTestWidth;
constexpr int kHeight = limits::kSelfTestHeight;
constexpr size_t kLuma = size_t{kWidth} * kHeight;

TEST(PsnrTest, KnownValues) {
  const std::vector<uint8_t> a(1000, 100);
  std::vector<uint8_t> b = a;
  EXPECT_EQ(Psnr(a, b), kPsnrSame);
  std::fill(b.begin(), b.end(), 101);  // A mean square of 1.
  EXPECT_NEAR(Psnr(a, b), 48.1308, 1e-4);
  std::fill(b.begin(), b.end(), 90);  // Of 100.
  EXPECT_NEAR(Psnr(a, b), 28.1308, 1e-4);
  b = a;
  b[500] = 110;  // Of 100 / 1000.
  EXPECT_NEAR(Psnr(a, b), 58.1308, 1e-4);
  EXPECT_EQ(Psnr(std::vector<uint8_t>(9, 0), std::vector<uint8_t>(9, 255)), 0);
}

TEST(PsnrTest, WhatIsMissingIsNotAlike) {
  const std::vector<uint8_t> a(10, 100);
  EXPECT_EQ(Psnr(a, std::vector<uint8_t>(9, 100)), 0);
  EXPECT_EQ(Psnr({}, {}), 0);
}

// Y, U and V of a picture of one colour.
std::vector<uint8_t> OneColor(uint8_t r, uint8_t g, uint8_t b) {
  TestPicture picture{2, 2, {}};
  for (int i = 0; i < 4; ++i)
    for (const uint8_t c : {b, g, r, uint8_t{0}})
      picture.pixels.push_back(std::byte{c});
  const std::vector<uint8_t> all = ReferenceI420(picture);
  return {all[0], all[4], all[5]};
}

TEST(ReferenceTest, IsBt709Limited) {
  EXPECT_EQ(OneColor(255, 255, 255), (std::vector<uint8_t>{235, 128, 128}));
  EXPECT_EQ(OneColor(0, 0, 0), (std::vector<uint8_t>{16, 128, 128}));
  EXPECT_EQ(OneColor(255, 0, 0), (std::vector<uint8_t>{63, 102, 240}));
  EXPECT_EQ(OneColor(0, 255, 0), (std::vector<uint8_t>{173, 42, 26}));
  EXPECT_EQ(OneColor(0, 0, 255), (std::vector<uint8_t>{32, 240, 118}));
}

// What no self-test may pass.
TEST(TestPictureTest, AnotherPictureOfTheMovieMeasuresAsWrong) {
  const TestPicture first = DrawTestPicture(kWidth, kHeight, 3);
  const std::vector<uint8_t> reference = ReferenceI420(first);
  const std::vector<uint8_t> next =
      ReferenceI420(DrawTestPicture(kWidth, kHeight, 4));
  const std::span<const uint8_t> a(reference);
  const std::span<const uint8_t> b(next);
  EXPECT_LT(Psnr(a.first(kLuma), b.first(kLuma)), limits::kSelfTestLumaPsnr);
  // Of the text below alone, too.
  constexpr size_t kText = kLuma / 4;
  EXPECT_LT(
      Psnr(a.subspan(kLuma - kText, kText), b.subspan(kLuma - kText, kText)),
      limits::kSelfTestLumaPsnr);
  // One row lower.
  EXPECT_LT(Psnr(a.subspan(kWidth, kLuma - kWidth), a.first(kLuma - kWidth)),
            limits::kSelfTestLumaPsnr);
}

TEST(TestPictureTest, WrongColoursMeasureAsWrong) {
  const std::vector<uint8_t> reference =
      ReferenceI420(DrawTestPicture(kWidth, kHeight, 3));
  const std::span<const uint8_t> all(reference);
  const auto u = all.subspan(kLuma, kLuma / 4);
  const auto v = all.subspan(kLuma * 5 / 4, kLuma / 4);
  EXPECT_LT(Psnr(u, v), limits::kSelfTestChromaPsnr);
  // No colours at all.
  const std::vector<uint8_t> grey(kLuma / 4, 128);
  EXPECT_LT(Psnr(u, grey), limits::kSelfTestChromaPsnr);
  EXPECT_LT(Psnr(v, grey), limits::kSelfTestChromaPsnr);
}

TEST(TestPictureTest, IsTheSameEveryTime) {
  EXPECT_TRUE(DrawTestPicture(kWidth, kHeight, 7).pixels ==
              DrawTestPicture(kWidth, kHeight, 7).pixels);
}

}  // namespace
}  // namespace kine
