#include "encode/picture/picture_crop.h"

#include <drm_fourcc.h>
#include <gtest/gtest.h>

#include <random>
#include <utility>
#include <vector>

#include "capture/pixel_format.h"
#include "encode/picture/picture.h"
#include "tests/encode/test_frames.h"

namespace kine {
namespace {

constexpr int kWidth = 101;
constexpr int kHeight = 67;
constexpr uint32_t kFormats[] = {DRM_FORMAT_XRGB8888, DRM_FORMAT_BGR888,
                                 DRM_FORMAT_NV12, DRM_FORMAT_YUV420};

int Below(std::mt19937& random, int limit) {
  return static_cast<int>(random() % static_cast<uint32_t>(limit));
}

// At least 16x16, inside of the picture.
Rect RandomPart(std::mt19937& random) {
  const int width = 16 + Below(random, kWidth - 15);
  const int height = 16 + Below(random, kHeight - 15);
  return {Below(random, kWidth - width + 1),
          Below(random, kHeight - height + 1), width, height};
}

std::vector<uint8_t> Bytes(const Picture& picture) {
  const size_t luma = picture.changed().size() * 256;
  std::vector<uint8_t> all(picture.luma(), picture.luma() + luma);
  all.insert(all.end(), picture.chroma(), picture.chroma() + luma / 2);
  return all;
}

// Where the upright `rect` is in the crop, by the turner of the tests.
Rect Turned(const Rect& rect, Transform transform) {
  TestImage mark(kWidth, kHeight);
  mark.Fill(rect, Rgb{255, 0, 0});
  const TestImage turned = Unturn(mark, transform);
  Rect box;
  for (int y = 0; y < turned.height; ++y)
    for (int x = 0; x < turned.width; ++x)
      if (turned.at(x, y).r != 0) box = Union(box, Rect{x, y, 1, 1});
  return box;
}

TEST(PictureCropTest, ShowsThatPartOfTheUprightPicture) {
  std::mt19937 random(1);
  const TestImage image = RandomImage(kWidth, kHeight, 1);
  for (const uint32_t fourcc : kFormats) {
    for (int turn = 0; turn < 8; ++turn) {
      const FrameShape shape = {.fourcc = fourcc,
                                .transform = static_cast<Transform>(turn),
                                .left = 3,
                                .top = turn};
      Picture whole;
      ASSERT_TRUE(whole.Take(MakeFrame(image, shape)).ok());
      for (int i = 0; i < 8; ++i) {
        const Rect part = RandomPart(random);
        Frame frame = MakeFrame(image, shape);
        const PictureCrop::Cut cut = PictureCrop(part).Apply(frame);
        EXPECT_EQ(cut.part, part);
        EXPECT_EQ(cut.width, kWidth);
        EXPECT_EQ(cut.height, kHeight);
        Picture picture;
        ASSERT_TRUE(picture.Take(frame).ok());
        ASSERT_EQ(picture.true_width(), part.width);
        ASSERT_EQ(picture.true_height(), part.height);
        for (int y = 0; y < part.height; ++y)
          for (int x = 0; x < part.width; ++x)
            ASSERT_EQ(picture.luma()[y * picture.stride() + x],
                      whole.luma()[(part.y + y) * whole.stride() + part.x + x])
                << PixelFormatName(fourcc) << " turned " << turn;
        if (FindPixelFormat(fourcc)->yuv) continue;
        TestImage plain(part.width, part.height);
        for (int y = 0; y < part.height; ++y)
          for (int x = 0; x < part.width; ++x)
            plain.at(x, y) = image.at(part.x + x, part.y + y);
        Picture alone;
        ASSERT_TRUE(alone.Take(MakeFrame(plain, {.fourcc = fourcc})).ok());
        ASSERT_EQ(Bytes(picture), Bytes(alone));
      }
    }
  }
}

TEST(PictureCropTest, DamageIsThatOfThePart) {
  std::mt19937 random(2);
  for (const uint32_t fourcc : kFormats) {
    for (int turn = 0; turn < 8; ++turn) {
      const auto transform = static_cast<Transform>(turn);
      const FrameShape shape = {
          .fourcc = fourcc, .transform = transform, .left = turn, .top = 3};
      const PictureCrop crop(RandomPart(random));
      TestImage image = RandomImage(kWidth, kHeight, fourcc);
      Picture kept;
      Frame first = MakeFrame(image, shape);
      crop.Apply(first);
      EXPECT_TRUE(first.damage.full());
      ASSERT_TRUE(kept.Take(first).ok());
      for (int step = 0; step < 12; ++step) {
        const Rect rect =
            Intersect({Below(random, kWidth), Below(random, kHeight),
                       1 + Below(random, 9), 1 + Below(random, 9)},
                      {0, 0, kWidth, kHeight});
        image.Fill(rect, Rgb{static_cast<uint8_t>(random() % 256),
                             static_cast<uint8_t>(random() % 256), 9});
        Frame frame = MakeFrame(image, shape);
        frame.damage = Damage();
        frame.damage.Add(Turned(rect, transform));
        crop.Apply(frame);
        if (!FindPixelFormat(fourcc)->yuv) {
          EXPECT_EQ(frame.damage.empty(),
                    Intersect(rect, crop.asked()).empty());
        }
        ASSERT_TRUE(kept.Take(frame).ok());
        Frame again = MakeFrame(image, shape);
        crop.Apply(again);
        Picture whole;
        ASSERT_TRUE(whole.Take(again).ok());
        ASSERT_EQ(Bytes(kept), Bytes(whole))
            << PixelFormatName(fourcc) << " turned " << turn;
      }
    }
  }
}

TEST(PictureCropTest, WhatIsOutsideIsLeftOut) {
  const TestImage image = RandomImage(64, 48, 3);
  const auto cut_to = [&](const Rect& asked) {
    Frame frame = MakeFrame(image, {.fourcc = DRM_FORMAT_XRGB8888});
    const Rect before = frame.crop;
    const Rect part = PictureCrop(asked).Apply(frame).part;
    EXPECT_EQ(frame.crop, part.empty() ? before : part);
    return part;
  };
  EXPECT_EQ(cut_to({0, 0, 8192, 8192}), (Rect{0, 0, 64, 48}));
  EXPECT_EQ(cut_to({48, 8, 100, 20}), (Rect{48, 8, 16, 20}));
  // Too little to be a picture.
  EXPECT_EQ(cut_to({49, 8, 100, 20}), Rect());
  EXPECT_EQ(cut_to({0, 33, 64, 16}), Rect());
  EXPECT_EQ(cut_to({8176, 8176, 8192, 8192}), Rect());
}

}  // namespace
}  // namespace kine
