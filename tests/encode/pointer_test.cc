// The pointer over the kept picture: where it is, what it looks like, and that
// it leaves no trace.
#include <drm_fourcc.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "encode/picture/picture.h"
#include "encode/picture/picture_crop.h"
#include "tests/encode/test_frames.h"

namespace kine {
namespace {

constexpr int kWidth = 101;
constexpr int kHeight = 67;

int Below(std::mt19937& random, int limit) {
  return static_cast<int>(random() % static_cast<uint32_t>(limit));
}

uint32_t Seed(std::mt19937& random) { return static_cast<uint32_t>(random()); }

enum class Alpha { kAny, kBinary };

std::shared_ptr<const CursorShape> RandomShape(int width, int height,
                                               Alpha alpha, uint32_t seed) {
  std::mt19937 random(seed);
  auto shape = std::make_shared<CursorShape>();
  shape->width = width;
  shape->height = height;
  shape->hotspot_x = Below(random, width);
  shape->hotspot_y = Below(random, height);
  shape->bgra.resize(static_cast<size_t>(width * height * 4));
  for (size_t i = 0; i < shape->bgra.size(); ++i)
    shape->bgra[i] = static_cast<std::byte>(random() >> 24);
  for (size_t i = 3; alpha == Alpha::kBinary && i < shape->bgra.size(); i += 4)
    shape->bgra[i] = random() % 3 == 0 ? std::byte{0} : std::byte{255};
  return shape;
}

Pointer At(std::shared_ptr<const CursorShape> shape, int x, int y) {
  return {std::move(shape), x, y, MonoTime()};
}

// The picture's planes, with the padding.
std::vector<uint8_t> Bytes(const Picture& picture) {
  const size_t luma = picture.changed().size() * 256;
  std::vector<uint8_t> all(picture.luma(), picture.luma() + luma);
  all.insert(all.end(), picture.chroma(), picture.chroma() + luma / 2);
  return all;
}

struct Sample {
  double r = 0;
  double g = 0;
  double b = 0;
  double alpha = 0;  // 0 to 1; 0 outside of the shape.
};

// The slow reference: what of the pointer is on the pixel of the buffer's crop.
Sample SampleOf(const Pointer& pointer, int x, int y) {
  const CursorShape& shape = *pointer.shape;
  x -= pointer.x - shape.hotspot_x;
  y -= pointer.y - shape.hotspot_y;
  if (x < 0 || y < 0 || x >= shape.width || y >= shape.height) return {};
  const auto byte = [&](int i) {
    return std::to_integer<int>(
        shape.bgra[static_cast<size_t>(4 * (y * shape.width + x) + i)]);
  };
  return {static_cast<double>(byte(2)), static_cast<double>(byte(1)),
          static_cast<double>(byte(0)), byte(3) / 255.0};
}

// `image` (as it lies in the buffer) with the pointer in it, as a compositor
// would draw it.
TestImage Drawn(TestImage image, const Pointer& pointer) {
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      const Sample over = SampleOf(pointer, x, y);
      const auto mix = [&](uint8_t beneath, double c) {
        return static_cast<uint8_t>(
            std::lround(beneath * (1 - over.alpha) + c * over.alpha));
      };
      Rgb& pixel = image.at(x, y);
      pixel = {mix(pixel.r, over.r), mix(pixel.g, over.g),
               mix(pixel.b, over.b)};
    }
  }
  return image;
}

// Flat 2x2 blocks: there an average of chroma under a pointer is exact.
TestImage Blocks(uint32_t seed) {
  TestImage image = RandomImage(kWidth, kHeight, seed);
  for (int y = 0; y < kHeight; ++y)
    for (int x = 0; x < kWidth; ++x)
      image.at(x, y) = image.at(x / 2 * 2, y / 2 * 2);
  return image;
}

Frame Plain(const TestImage& image) {
  return MakeFrame(image, {.fourcc = DRM_FORMAT_XRGB8888});
}

// The largest difference of both planes.
int Worst(const Picture& a, const Picture& b) {
  const std::vector<uint8_t> x = Bytes(a);
  const std::vector<uint8_t> y = Bytes(b);
  EXPECT_EQ(x.size(), y.size());
  int worst = 0;
  for (size_t i = 0; i < std::min(x.size(), y.size()); ++i)
    worst = std::max(worst, std::abs(x[i] - y[i]));
  return worst;
}

// Every position: odd, negative, partly and wholly outside.
TEST(PointerTest, IsWhatAFrameWithItWouldGive) {
  std::mt19937 random(1);
  const TestImage image = Blocks(1);
  for (const ColorKernel& kernel : ColorKernels()) {
    Picture picture(kernel);
    ASSERT_TRUE(picture.Take(Plain(image)).ok());
    for (int i = 0; i < 300; ++i) {
      const Pointer pointer = At(
          RandomShape(1 + Below(random, 40), 1 + Below(random, 40),
                      i % 2 == 0 ? Alpha::kBinary : Alpha::kAny, Seed(random)),
          Below(random, kWidth + 60) - 30, Below(random, kHeight + 60) - 30);
      picture.MovePointer(&pointer);
      Picture wanted;
      ASSERT_TRUE(wanted.Take(Plain(Drawn(image, pointer))).ok());
      ASSERT_LE(Worst(picture, wanted), 2) << kernel.name << " " << i;
      if (i % 2 != 0) continue;
      // Nothing shines through: luma is exact, to the last bit.
      const auto luma = static_cast<ptrdiff_t>(picture.changed().size()) * 256;
      const std::vector<uint8_t> got = Bytes(picture);
      const std::vector<uint8_t> want = Bytes(wanted);
      ASSERT_TRUE(std::equal(got.begin(), got.begin() + luma, want.begin()))
          << kernel.name << " at " << pointer.x << "," << pointer.y;
    }
  }
}

TEST(PointerTest, AnOpaqueOneOnEvenPixelsIsExact) {
  const TestImage image = RandomImage(kWidth, kHeight, 2);
  auto shape =
      std::make_shared<CursorShape>(*RandomShape(24, 24, Alpha::kBinary, 2));
  for (size_t i = 3; i < shape->bgra.size(); i += 4)
    shape->bgra[i] = std::byte{255};
  const Pointer pointer =
      At(shape, 30 + shape->hotspot_x, 20 + shape->hotspot_y);
  Picture picture;
  ASSERT_TRUE(picture.Take(Plain(image), &pointer).ok());
  Picture wanted;
  ASSERT_TRUE(wanted.Take(Plain(Drawn(image, pointer))).ok());
  EXPECT_EQ(Bytes(picture), Bytes(wanted));
}

TEST(PointerTest, TurnsWithThePictureAndIsCutByTheCrop) {
  std::mt19937 random(3);
  for (int turn = 0; turn < 8; ++turn) {
    const auto transform = static_cast<Transform>(turn);
    const FrameShape shape = {.fourcc = DRM_FORMAT_XRGB8888,
                              .transform = transform,
                              .left = 3,
                              .top = turn};
    for (int i = 0; i < 40; ++i) {
      // Flat, so that only the place and the turn matter.
      TestImage flat(kWidth, kHeight);
      flat.Fill({0, 0, kWidth, kHeight}, Rgb{200, 40, 90});
      const TestImage lying = Unturn(flat, transform);
      const Pointer pointer =
          At(RandomShape(1 + Below(random, 30), 1 + Below(random, 30),
                         Alpha::kAny, Seed(random)),
             Below(random, lying.width + 20) - 10,
             Below(random, lying.height + 20) - 10);
      // Upright again: four turns are none, and a mirror undoes itself.
      TestImage wanted_image = Drawn(lying, pointer);
      TestImage upright(kWidth, kHeight);
      const TransformMap map(transform, lying.width, lying.height);
      for (int y = 0; y < kHeight; ++y)
        for (int x = 0; x < kWidth; ++x)
          upright.at(x, y) =
              wanted_image.at(map.ToCrop(x, y).x, map.ToCrop(x, y).y);
      Frame frame = MakeFrame(flat, shape);
      Frame wanted_frame = Plain(upright);
      Pointer shown = pointer;
      if (i % 2 != 0) {
        const PictureCrop crop({1 + Below(random, 40), Below(random, 30),
                                16 + Below(random, 40),
                                16 + Below(random, 20)});
        const PictureCrop::Cut cut = crop.Apply(frame);
        crop.Apply(wanted_frame);
        shown.x -= cut.left;
        shown.y -= cut.top;
      }
      Picture picture;
      ASSERT_TRUE(picture.Take(frame, &shown).ok());
      Picture wanted;
      ASSERT_TRUE(wanted.Take(wanted_frame).ok());
      ASSERT_LE(Worst(picture, wanted), 2) << "turned " << turn << " " << i;
    }
  }
}

TEST(PointerTest, LeavesNoTraceWhereverItWas) {
  std::mt19937 random(4);
  TestImage image = RandomImage(kWidth, kHeight, 4);
  Picture plain;
  Picture picture;
  ASSERT_TRUE(plain.Take(Plain(image)).ok());
  ASSERT_TRUE(picture.Take(Plain(image)).ok());
  std::vector<uint8_t> shown = Bytes(picture);
  for (int i = 0; i < 1000; ++i) {
    const Pointer pointer = At(
        i % 7 == 6 ? nullptr
                   : RandomShape(1 + Below(random, 40), 1 + Below(random, 40),
                                 Alpha::kAny, Seed(random) % 3),
        Below(random, kWidth + 40) - 20, Below(random, kHeight + 40) - 20);
    if (i % 3 == 0) {
      // Frames come meanwhile, and change what is beneath it, too.
      const Rect rect =
          Intersect({Below(random, kWidth), Below(random, kHeight),
                     1 + Below(random, 30), 1 + Below(random, 30)},
                    {0, 0, kWidth, kHeight});
      image.Fill(rect, Rgb{static_cast<uint8_t>(random() % 256), 7, 9});
      const auto take = [&](Picture& to, const Pointer* with) {
        Frame frame = Plain(image);
        frame.damage = Damage();
        frame.damage.Add(rect);
        ASSERT_TRUE(to.Take(frame, with).ok());
      };
      take(picture, &pointer);
      take(plain, nullptr);
    } else {
      picture.MovePointer(&pointer);
    }
    // What is said to have changed is what looks different, block by block.
    const std::vector<uint8_t> now = Bytes(picture);
    const MacroblockMap& changed = picture.changed();
    const auto stride = static_cast<size_t>(picture.stride());
    const size_t luma = changed.size() * 256;
    for (int row = 0; row < changed.rows(); ++row) {
      for (int column = 0; column < changed.columns(); ++column) {
        bool differs = false;
        for (size_t y = 0; y < 24; ++y) {
          const size_t line =
              y < 16 ? (static_cast<size_t>(row) * 16 + y) * stride
                     : luma + (static_cast<size_t>(row) * 8 + y - 16) * stride;
          const auto at =
              static_cast<ptrdiff_t>(line + static_cast<size_t>(column) * 16);
          differs =
              differs || !std::equal(now.begin() + at, now.begin() + at + 16,
                                     shown.begin() + at);
        }
        // A frame may change what the pointer then covers: that is coded.
        const bool said = changed.at(column, row);
        ASSERT_TRUE(i % 3 == 0 ? said || !differs : said == differs) << i;
      }
    }
    shown = now;
  }
  picture.MovePointer(nullptr);
  EXPECT_EQ(Bytes(picture), Bytes(plain));
  picture.MovePointer(nullptr);
  EXPECT_FALSE(picture.changed().any());
}

TEST(PointerTest, WhatChangesBeneathAnOpaqueOneIsNoChange) {
  TestImage image = RandomImage(64, 48, 5);
  auto shape =
      std::make_shared<CursorShape>(*RandomShape(20, 20, Alpha::kBinary, 5));
  shape->hotspot_x = shape->hotspot_y = 0;
  for (size_t i = 3; i < shape->bgra.size(); i += 4)
    shape->bgra[i] = std::byte{255};
  const Pointer pointer = At(shape, 16, 16);
  Picture picture;
  ASSERT_TRUE(picture.Take(Plain(image), &pointer).ok());
  image.Fill({18, 18, 8, 8}, Rgb{1, 2, 3});
  ASSERT_TRUE(picture.Take(Plain(image), &pointer).ok());
  EXPECT_FALSE(picture.changed().any());
  // And it is there when the pointer goes.
  picture.MovePointer(nullptr);
  Picture wanted;
  ASSERT_TRUE(wanted.Take(Plain(image)).ok());
  EXPECT_EQ(Bytes(picture), Bytes(wanted));
  // A new size has nothing of the old one beneath it.
  picture.MovePointer(&pointer);
  const TestImage small = RandomImage(32, 32, 6);
  ASSERT_TRUE(picture.Take(Plain(small)).ok());
  Picture other;
  ASSERT_TRUE(other.Take(Plain(small)).ok());
  EXPECT_EQ(Bytes(picture), Bytes(other));
}

}  // namespace
}  // namespace kine
