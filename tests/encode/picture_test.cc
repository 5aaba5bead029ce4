#include "encode/picture/picture.h"

#include <drm_fourcc.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "capture/pixel_format.h"
#include "tests/encode/test_frames.h"

namespace kine {
namespace {

constexpr uint32_t kRgbFormats[] = {DRM_FORMAT_XRGB8888, DRM_FORMAT_ARGB8888,
                                    DRM_FORMAT_XBGR8888, DRM_FORMAT_ABGR8888,
                                    DRM_FORMAT_RGBX8888, DRM_FORMAT_RGBA8888,
                                    DRM_FORMAT_BGRX8888, DRM_FORMAT_BGRA8888,
                                    DRM_FORMAT_RGB888,   DRM_FORMAT_BGR888};
constexpr uint32_t kYuvFormats[] = {DRM_FORMAT_NV12, DRM_FORMAT_YUV420};

std::vector<uint32_t> AllFormats() {
  std::vector<uint32_t> all(std::begin(kRgbFormats), std::end(kRgbFormats));
  all.insert(all.end(), std::begin(kYuvFormats), std::end(kYuvFormats));
  return all;
}

// The largest difference between the picture and what `image` should give.
double WorstError(const Picture& picture, const TestImage& image) {
  const ReferencePicture reference = ReferenceOf(image);
  EXPECT_EQ(picture.width(), reference.width);
  EXPECT_EQ(picture.height(), reference.height);
  double worst = 0;
  size_t i = 0;
  for (int y = 0; y < reference.height; ++y) {
    for (int x = 0; x < reference.width; ++x, ++i) {
      const int got = picture.luma()[y * picture.stride() + x];
      worst = std::max(worst, std::abs(got - reference.luma[i]));
    }
  }
  i = 0;
  for (int y = 0; y < reference.height / 2; ++y) {
    for (int x = 0; x < reference.width / 2; ++x, ++i) {
      const uint8_t* const uv = picture.chroma() + y * picture.stride() + 2 * x;
      worst = std::max({worst, std::abs(uv[0] - reference.u[i]),
                        std::abs(uv[1] - reference.v[i])});
    }
  }
  return worst;
}

// Both planes, padding included.
std::vector<uint8_t> Bytes(const Picture& picture) {
  const size_t luma = picture.changed().size() * 256;
  std::vector<uint8_t> all(picture.luma(), picture.luma() + luma);
  all.insert(all.end(), picture.chroma(), picture.chroma() + luma / 2);
  return all;
}

TEST(Picture, EveryFormatGivesTheSamePicture) {
  const TestImage image = RandomImage(75, 49, 3);
  for (uint32_t fourcc : AllFormats()) {
    Picture picture;
    ASSERT_TRUE(picture.Take(MakeFrame(image, {.fourcc = fourcc})).ok());
    EXPECT_LT(WorstError(picture, image), 1) << PixelFormatName(fourcc);
    EXPECT_EQ(picture.changed().count(), picture.changed().size());
  }
}

TEST(Picture, OddSizesArePaddedByTheirEdges) {
  for (const auto& [width, height] :
       {std::pair{1366, 768}, {64, 1079}, {17, 33}, {16, 16}, {31, 17}}) {
    const TestImage image = RandomImage(width, height, 4);
    Picture picture;
    ASSERT_TRUE(
        picture.Take(MakeFrame(image, {.fourcc = DRM_FORMAT_XRGB8888})).ok());
    EXPECT_LT(WorstError(picture, image), 1) << width << "x" << height;
    // Up to whole macroblocks, not only to even.
    const int right = picture.changed().columns() * 16 - 1;
    const int bottom = picture.changed().rows() * 16 - 1;
    const uint8_t* const luma = picture.luma();
    EXPECT_EQ(luma[right], luma[width - 1]);
    EXPECT_EQ(luma[bottom * picture.stride()],
              luma[(height - 1) * picture.stride()]);
  }
}

TEST(Picture, CropsAndAllTransformsAreExact) {
  const TestImage image = RandomImage(53, 34, 5);
  for (uint32_t fourcc : AllFormats()) {
    const bool yuv = FindPixelFormat(fourcc)->yuv;
    for (int turn = 0; turn < 8; ++turn) {
      // Chroma of YUV sources lies on even positions of the buffer, whatever
      // the crop: pictures of 2x2 blocks stay comparable.
      TestImage shown(52, 34);
      for (int y = 0; y < shown.height; ++y) {
        for (int x = 0; x < shown.width; ++x) {
          shown.at(x, y) =
              yuv ? image.at(x / 2 * 2, y / 2 * 2) : image.at(x, y);
        }
      }
      const FrameShape shape = {.fourcc = fourcc,
                                .transform = static_cast<Transform>(turn),
                                .left = yuv ? 4 : 3,
                                .top = yuv ? 2 : 5,
                                .right = yuv ? 2 : 1,
                                .bottom = yuv ? 4 : 7,
                                .stride_padding = 13};
      Picture picture;
      ASSERT_TRUE(picture.Take(MakeFrame(shown, shape)).ok());
      EXPECT_LT(WorstError(picture, shown), yuv ? 1.1 : 1)
          << PixelFormatName(fourcc) << " turned " << turn;
    }
  }
}

TEST(Picture, YuvAsWantedIsCopiedBitByBit) {
  const TestImage image = RandomImage(50, 38, 6);
  for (uint32_t fourcc : kYuvFormats) {
    Frame frame = MakeFrame(image, {.fourcc = fourcc});
    const Plane& luma = frame.planes[0];
    const auto* const bytes = reinterpret_cast<const uint8_t*>(luma.data);
    Picture picture;
    ASSERT_TRUE(picture.Take(frame).ok());
    for (int y = 0; y < 38; ++y) {
      for (int x = 0; x < 50; ++x) {
        ASSERT_EQ(picture.luma()[y * picture.stride() + x],
                  bytes[static_cast<size_t>(y) * luma.stride +
                        static_cast<size_t>(x)]);
      }
    }
    // An odd crop cannot be copied; it must show the same luma all the same.
    frame.crop = Rect{1, 1, 40, 30};
    Picture odd;
    ASSERT_TRUE(odd.Take(frame).ok());
    EXPECT_EQ(odd.luma()[0], bytes[luma.stride + 1]);
  }
}

TEST(Picture, NeverReadsOutsideOfThePlanes) {
  // A wrong read is a crash: each plane touches unreadable memory.
  for (uint32_t fourcc : AllFormats()) {
    for (int turn = 0; turn < 8; ++turn) {
      for (int width = 16; width <= 50; width += 17) {
        for (bool in_front : {false, true}) {
          const TestImage image = RandomImage(width, 19, 7);
          Picture picture;
          EXPECT_TRUE(picture
                          .Take(MakeFrame(
                              image, {.fourcc = fourcc,
                                      .transform = static_cast<Transform>(turn),
                                      .stride_padding = 5,
                                      .guard_in_front = in_front}))
                          .ok());
        }
      }
    }
  }
}

TEST(Picture, ConvertingOnlyTheDamageEqualsConvertingEverything) {
  std::mt19937 random(8);
  for (uint32_t fourcc : AllFormats()) {
    for (int turn = 0; turn < 8; ++turn) {
      const FrameShape shape = {.fourcc = fourcc,
                                .transform = static_cast<Transform>(turn),
                                .left = turn,
                                .top = 3};
      TestImage image = RandomImage(101, 67, fourcc);
      Picture kept;
      ASSERT_TRUE(kept.Take(MakeFrame(image, shape)).ok());
      for (int step = 0; step < 6; ++step) {
        // Change upright rectangles; say so in the crop's coordinates.
        Damage damage;
        for (int i = 0; i < 3; ++i) {
          const int x = static_cast<int>(random() % 100);
          const int y = static_cast<int>(random() % 66);
          const Rect rect =
              Intersect(Rect{x, y, 1 + static_cast<int>(random() % 9),
                             1 + static_cast<int>(random() % 9)},
                        Rect{0, 0, 101, 67});
          image.Fill(rect, Rgb{static_cast<uint8_t>(random() % 256),
                               static_cast<uint8_t>(random() % 256), 9});
          // Find it in the turned image with the independent turner.
          TestImage mark(101, 67);
          mark.Fill(rect, Rgb{255, 0, 0});
          const TestImage turned = Unturn(mark, shape.transform);
          Rect box;
          for (int v = 0; v < turned.height; ++v) {
            for (int u = 0; u < turned.width; ++u) {
              if (turned.at(u, v).r != 0) box = Union(box, Rect{u, v, 1, 1});
            }
          }
          damage.Add(box);
        }
        Frame frame = MakeFrame(image, shape);
        frame.damage = damage;
        ASSERT_TRUE(kept.Take(frame).ok());
        Picture whole;
        ASSERT_TRUE(whole.Take(MakeFrame(image, shape)).ok());
        ASSERT_EQ(Bytes(kept), Bytes(whole))
            << PixelFormatName(fourcc) << " turned " << turn;
      }
    }
  }
}

TEST(Picture, TheSamePictureAgainChangesNothing) {
  const TestImage image = RandomImage(100, 60, 9);
  Picture picture;
  const FrameShape shape = {.fourcc = DRM_FORMAT_XRGB8888};
  ASSERT_TRUE(picture.Take(MakeFrame(image, shape)).ok());
  ASSERT_TRUE(picture.Take(MakeFrame(image, shape)).ok());
  EXPECT_FALSE(picture.changed().any());
}

TEST(Picture, OnePixelChangesItsMacroblockOnly) {
  TestImage image = RandomImage(100, 60, 10);
  Picture picture;
  const FrameShape shape = {.fourcc = DRM_FORMAT_XRGB8888};
  ASSERT_TRUE(picture.Take(MakeFrame(image, shape)).ok());
  image.at(33, 47).g ^= 0x40;
  // Reported as everything: the comparison finds it.
  ASSERT_TRUE(picture.Take(MakeFrame(image, shape)).ok());
  EXPECT_EQ(picture.changed().count(), 1u);
  EXPECT_TRUE(picture.changed().at(2, 2));
}

TEST(Picture, WhatIsNotDamagedIsNotLookedAt) {
  TestImage image = RandomImage(100, 60, 10);
  Picture picture;
  const FrameShape shape = {.fourcc = DRM_FORMAT_XRGB8888};
  ASSERT_TRUE(picture.Take(MakeFrame(image, shape)).ok());
  image.Fill(Rect{0, 0, 100, 60}, Rgb{1, 2, 3});
  Frame frame = MakeFrame(image, shape);
  frame.damage = Damage();
  frame.damage.Add(Rect{15, 0, 2, 1});
  ASSERT_TRUE(picture.Take(frame).ok());
  EXPECT_EQ(picture.changed().count(), 2u);
}

TEST(Picture, ANewFormatOrCropIsDamagedAllOver) {
  const TestImage image = RandomImage(64, 48, 11);
  const TestImage other = RandomImage(64, 48, 12);
  Picture picture;
  ASSERT_TRUE(
      picture.Take(MakeFrame(image, {.fourcc = DRM_FORMAT_XRGB8888})).ok());
  Frame frame = MakeFrame(other, {.fourcc = DRM_FORMAT_ABGR8888});
  frame.damage = Damage();
  ASSERT_TRUE(picture.Take(frame).ok());
  EXPECT_LT(WorstError(picture, other), 1);
}

TEST(Picture, FramesThatDoNotFitTogetherAreRefusedAndTheNextIsLookedAtWhole) {
  const TestImage image = RandomImage(64, 48, 13);
  const FrameShape shape = {.fourcc = DRM_FORMAT_XRGB8888};
  Picture picture;
  ASSERT_TRUE(picture.Take(MakeFrame(image, shape)).ok());
  const auto code_of = [&](void (*spoil)(Frame&)) {
    Frame frame = MakeFrame(image, shape);
    spoil(frame);
    return picture.Take(frame).code();
  };
  using absl::StatusCode;
  EXPECT_EQ(code_of([](Frame& f) { f.planes[0].size -= 1; }),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(code_of([](Frame& f) { f.planes[0].stride = 64 * 4 - 1; }),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(code_of([](Frame& f) { f.crop.x = 1; }),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(code_of([](Frame& f) {
              f.crop = Rect{0, 0, 15, 48};
            }),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(code_of([](Frame& f) { f.plane_count = 0; }),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(code_of([](Frame& f) { f.format.fourcc = 1; }),
            StatusCode::kUnimplemented);
  EXPECT_EQ(code_of([](Frame& f) { f.planes[0].data = nullptr; }),
            StatusCode::kUnimplemented);
  EXPECT_EQ(
      code_of([](Frame& f) { f.format.modifier = I915_FORMAT_MOD_X_TILED; }),
      StatusCode::kUnimplemented);

  const TestImage next = RandomImage(64, 48, 14);
  Frame frame = MakeFrame(next, shape);
  frame.damage = Damage();
  ASSERT_TRUE(picture.Take(frame).ok());
  EXPECT_LT(WorstError(picture, next), 1);
}

TEST(PixelFormat, NamesAreThoseOfPipeWire) {
  EXPECT_EQ(PixelFormatName(DRM_FORMAT_XRGB8888), "BGRx");
  EXPECT_EQ(PixelFormatName(DRM_FORMAT_YUV420), "I420");
  EXPECT_EQ(PixelFormatName(0x34325258 + 1), "0x34325259");
  EXPECT_EQ(FindPixelFormat(0), nullptr);
}

}  // namespace
}  // namespace kine
