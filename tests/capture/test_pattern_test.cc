#include <drm_fourcc.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "capture/pattern.h"
#include "daemon/base/limits.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/frame_numbers.h"

namespace kine {
namespace {

using Pattern = TestPatternSpec::Pattern;

constexpr MonoTime kTime = MonoTime::FromNanos(123'456'789'012'345'678);
constexpr std::pair<int, int> kSizes[] = {
    {16, 16},  {17, 33},  {33, 17},   {47, 100},   {48, 16},   {95, 95},
    {96, 16},  {96, 33},  {191, 191}, {192, 17},   {320, 240}, {383, 383},
    {384, 32}, {384, 48}, {640, 31},  {1279, 719}, {1366, 768}};

std::vector<Rect> Rects(const Damage& damage) {
  return {damage.begin(), damage.end()};
}

std::string SizeName(std::pair<int, int> size) {
  return absl::StrCat(size.first, "x", size.second);
}

// A picture in memory, in any format, with a guard after every plane.
class Canvas {
 public:
  Canvas(uint32_t fourcc, int width, int height)
      : width_(width), height_(height) {
    const bool yuv = fourcc == DRM_FORMAT_NV12 || fourcc == DRM_FORMAT_YUV420;
    const bool three =
        fourcc == DRM_FORMAT_RGB888 || fourcc == DRM_FORMAT_BGR888;
    target_.fourcc = fourcc;
    const int half_width = (width + 1) / 2;
    const int half_height = (height + 1) / 2;
    Add(0, width * (yuv ? 1 : three ? 3 : 4), height);
    if (fourcc == DRM_FORMAT_NV12) Add(1, 2 * half_width, half_height);
    if (fourcc == DRM_FORMAT_YUV420) {
      Add(1, half_width, half_height);
      Add(2, half_width, half_height);
    }
  }

  const PatternTarget& target() const { return target_; }
  int At(size_t plane, int x, int y) const {
    return static_cast<int>(
        target_.planes[plane]
            .data[static_cast<size_t>(y) * target_.planes[plane].stride +
                  static_cast<size_t>(x)]);
  }
  bool GuardsIntact() const {
    for (size_t p = 0; p < 3; ++p) {
      for (size_t i = sizes_[p]; i < memory_[p].size(); ++i) {
        if (memory_[p][i] != kGuard) return false;
      }
    }
    return true;
  }
  bool SamePicture(const Canvas& other) const {
    return memory_[0] == other.memory_[0] && memory_[1] == other.memory_[1] &&
           memory_[2] == other.memory_[2];
  }
  // Brightness, by the first plane (YUV) or a channel of it (RGB: the codes
  // are black and white).
  std::vector<std::byte> Gray() const {
    const int step =
        static_cast<int>(target_.planes[0].stride - kRowGuard) / width_;
    std::vector<std::byte> gray;
    for (int y = 0; y < height_; ++y) {
      for (int x = 0; x < width_; ++x)
        gray.push_back(static_cast<std::byte>(At(0, x * step + step / 2, y)));
    }
    return gray;
  }

 private:
  static constexpr std::byte kGuard{0xa5};
  static constexpr size_t kRowGuard = 4;

  void Add(size_t plane, int row, int rows) {
    target_.planes[plane].stride = static_cast<size_t>(row) + kRowGuard;
    sizes_[plane] =
        target_.planes[plane].stride * static_cast<size_t>(rows) - kRowGuard;
    memory_[plane].assign(sizes_[plane] + 64, kGuard);
    target_.planes[plane].data = memory_[plane].data();
  }

  int width_;
  int height_;
  PatternTarget target_;
  size_t sizes_[3] = {0, 0, 0};
  std::vector<std::byte> memory_[3];
};

GrayPicture View(const std::vector<std::byte>& gray, int width, int height) {
  return GrayPicture{gray.data(), static_cast<size_t>(width), width, height};
}

TEST(PatternTest, FrameNumbersAndTimesAreReadBackAtEverySize) {
  for (const auto& size : kSizes) {
    SCOPED_TRACE(SizeName(size));
    const auto [width, height] = size;
    const PatternPicture picture(Pattern::kScroll, width, height);
    for (const uint64_t n :
         {0ull, 1ull, 0x5a5a5aull, 0xffffffull, 0x1000002ull}) {
      Canvas canvas(DRM_FORMAT_XRGB8888, width, height);
      picture.Draw(n, kTime, Damage::Full(), canvas.target());
      const std::vector<std::byte> gray = canvas.Gray();
      EXPECT_EQ(ReadFrameNumber(View(gray, width, height)), n & 0xffffff);
      const auto time = ReadFrameTime(View(gray, width, height));
      if (picture.code().has_time()) {
        ASSERT_TRUE(time.has_value());
        EXPECT_EQ(time->micros(), kTime.micros() & ((1ll << 48) - 1));
      } else {
        EXPECT_EQ(time, std::nullopt);
      }
    }
  }
}

// Other programs read it by these positions.
TEST(PatternTest, WidePicturesCarryTheNumberInTheFirst384By32Pixels) {
  const PatternPicture picture(Pattern::kTyping, 640, 480);
  Canvas canvas(DRM_FORMAT_XRGB8888, 640, 480);
  const uint64_t n = 0xc0ffee;
  picture.Draw(n, MonoTime::FromNanos(7'000), Damage::Full(), canvas.target());
  for (int i = 0; i < 24; ++i) {
    const int expected = (n >> (23 - i) & 1) != 0 ? 255 : 0;
    for (const auto& [dx, dy] : {std::pair{0, 0}, {15, 0}, {0, 15}, {15, 15}}) {
      EXPECT_EQ(canvas.At(0, (i * 16 + dx) * 4, dy), expected) << i;
      EXPECT_EQ(canvas.At(0, (i * 16 + dx) * 4, 16 + dy), 255 - expected) << i;
    }
  }
  // 7 us: the last three of 48 blocks of 8x8, from y = 32.
  for (int i = 0; i < 48; ++i) {
    EXPECT_EQ(canvas.At(0, (i * 8 + 4) * 4, 32 + 4), i >= 45 ? 255 : 0) << i;
    EXPECT_EQ(canvas.At(0, (i * 8 + 4) * 4, 40 + 4), i >= 45 ? 0 : 255) << i;
  }
  EXPECT_EQ(picture.code().area(), (Rect{0, 0, 384, 48}));
}

TEST(PatternTest, CodeStaysInsideOfEverySize) {
  for (int width = limits::kPictureSideMin; width < 400; ++width) {
    for (int height = limits::kPictureSideMin; height < 60; ++height) {
      const PatternCode code(width, height);
      const Rect area = code.area();
      ASSERT_EQ(Intersect(area, Rect{0, 0, width, height}), area)
          << width << "x" << height;
      ASSERT_EQ(Union(area, code.NumberBlock(23, true)), area);
      if (code.has_time()) {
        ASSERT_EQ(Union(area, code.TimeBlock(47, true)), area);
      }
    }
  }
}

TEST(PatternTest, ADamagedCodeIsNotBelieved) {
  const PatternPicture picture(Pattern::kStill, 640, 480);
  Canvas canvas(DRM_FORMAT_XRGB8888, 640, 480);
  picture.Draw(5, kTime, Damage::Full(), canvas.target());
  std::vector<std::byte> gray = canvas.Gray();
  for (int y = 0; y < 16; ++y)
    std::fill_n(gray.begin() + y * 640 + 16, 16, std::byte{255});
  EXPECT_EQ(ReadFrameNumber(View(gray, 640, 480)), std::nullopt);
  EXPECT_NE(ReadFrameTime(View(gray, 640, 480)), std::nullopt);
}

// The picture's contract with its users: old frame + changes = new frame.
TEST(PatternTest, DrawingTheChangesOverAnyOldFrameGivesTheNewOne) {
  const std::pair<uint64_t, uint64_t> steps[] = {
      {0, 1}, {2, 3}, {3, 4}, {5, 2}, {10, 24}, {7, 500}, {500, 502}};
  for (const auto& size :
       {std::pair{16, 16}, {17, 33}, {131, 97}, {400, 301}}) {
    for (const Pattern pattern : {Pattern::kScroll, Pattern::kTyping,
                                  Pattern::kVideo, Pattern::kStill}) {
      const PatternPicture picture(pattern, size.first, size.second);
      for (const uint32_t fourcc : {DRM_FORMAT_XRGB8888, DRM_FORMAT_NV12}) {
        for (const auto& [from, to] : steps) {
          SCOPED_TRACE(absl::StrCat(SizeName(size), " ", from, "->", to));
          Canvas stepped(fourcc, size.first, size.second);
          Canvas whole(fourcc, size.first, size.second);
          picture.Draw(from, kTime, Damage::Full(), stepped.target());
          picture.Draw(to, kTime + absl::Seconds(1), picture.Changes(from, to),
                       stepped.target());
          picture.Draw(to, kTime + absl::Seconds(1), Damage::Full(),
                       whole.target());
          EXPECT_TRUE(stepped.SamePicture(whole));
        }
      }
    }
  }
}

TEST(PatternTest, PatternsChangeWhatTheirNamesSay) {
  const Rect code{0, 0, 384, 48};
  const PatternPicture scroll(Pattern::kScroll, 640, 480);
  EXPECT_THAT(Rects(scroll.Changes(3, 4)), testing::ElementsAre(code));
  EXPECT_TRUE(scroll.Changes(2, 3).full());
  const PatternPicture typing(Pattern::kTyping, 640, 480);
  EXPECT_THAT(Rects(typing.Changes(0, 1)),
              testing::ElementsAre(Rect{8, 56, 8, 14}, code));
  EXPECT_TRUE(PatternPicture(Pattern::kVideo, 640, 480).Changes(0, 1).full());
  EXPECT_TRUE(scroll.Changes(9, 9).empty());
}

TEST(PatternTest, ScrollingMovesThePageByOneLineOf14Pixels) {
  const PatternPicture picture(Pattern::kScroll, 640, 480);
  Canvas before(DRM_FORMAT_XRGB8888, 640, 480);
  Canvas after(DRM_FORMAT_XRGB8888, 640, 480);
  picture.Draw(5, kTime, Damage::Full(), before.target());
  picture.Draw(6, kTime, Damage::Full(), after.target());
  for (int y = 48; y < 480 - 14; ++y) {
    ASSERT_EQ(0, std::memcmp(before.target().planes[0].data +
                                 static_cast<size_t>(y + 14) *
                                     before.target().planes[0].stride,
                             after.target().planes[0].data +
                                 static_cast<size_t>(y) *
                                     after.target().planes[0].stride,
                             640 * 4))
        << y;
  }
  EXPECT_FALSE(before.SamePicture(after));
}

TEST(PatternTest, VideoChangesEveryPixelOfThePageEveryFrame) {
  const PatternPicture picture(Pattern::kVideo, 300, 200);
  Canvas before(DRM_FORMAT_XRGB8888, 300, 200);
  Canvas after(DRM_FORMAT_XRGB8888, 300, 200);
  for (const uint64_t n : {0ull, 1ull, 127ull, 255ull}) {
    picture.Draw(n, kTime, Damage::Full(), before.target());
    picture.Draw(n + 1, kTime, Damage::Full(), after.target());
    for (int y = picture.code().area().height; y < 200; ++y) {
      for (int x = 0; x < 300; ++x) {
        ASSERT_NE(0, std::memcmp(before.target().planes[0].data +
                                     static_cast<size_t>(y) *
                                         before.target().planes[0].stride +
                                     x * 4,
                                 after.target().planes[0].data +
                                     static_cast<size_t>(y) *
                                         after.target().planes[0].stride +
                                     x * 4,
                                 4))
            << n << ": " << x << "," << y;
      }
    }
  }
}

TEST(PatternTest, NoFormatIsDrawnBeyondItsMemory) {
  const uint32_t formats[] = {
      DRM_FORMAT_XRGB8888, DRM_FORMAT_ARGB8888, DRM_FORMAT_XBGR8888,
      DRM_FORMAT_ABGR8888, DRM_FORMAT_RGBX8888, DRM_FORMAT_RGBA8888,
      DRM_FORMAT_BGRX8888, DRM_FORMAT_BGRA8888, DRM_FORMAT_RGB888,
      DRM_FORMAT_BGR888,   DRM_FORMAT_NV12,     DRM_FORMAT_YUV420};
  for (const uint32_t fourcc : formats) {
    EXPECT_TRUE(PatternTarget::Knows(fourcc));
    for (const auto& size : kSizes) {
      SCOPED_TRACE(SizeName(size));
      const auto [width, height] = size;
      const PatternPicture picture(Pattern::kVideo, width, height);
      Canvas canvas(fourcc, width, height);
      picture.Draw(77, kTime, Damage::Full(), canvas.target());
      EXPECT_TRUE(canvas.GuardsIntact());
      EXPECT_EQ(ReadFrameNumber(View(canvas.Gray(), width, height)), 77u);
    }
  }
  EXPECT_FALSE(PatternTarget::Knows(DRM_FORMAT_YUYV));
}

// The bytes of one pixel in memory, per format, and its BT.709 values.
TEST(PatternTest, ChannelsAreWhereTheFormatPutsThem) {
  constexpr int kX = 100;
  constexpr int kY = 60;
  const PatternPicture picture(Pattern::kVideo, 128, 64);
  const auto draw = [&](uint32_t fourcc) {
    auto canvas = std::make_unique<Canvas>(fourcc, 128, 64);
    picture.Draw(0, kTime, Damage::Full(), canvas->target());
    return canvas;
  };
  const auto bytes = [&](uint32_t fourcc, int count) {
    std::vector<int> pixel;
    for (int i = 0; i < count; ++i)
      pixel.push_back(draw(fourcc)->At(0, kX * count + i, kY));
    return pixel;
  };
  const std::vector<int> bgrx = bytes(DRM_FORMAT_XRGB8888, 4);
  const int b = bgrx[0], g = bgrx[1], r = bgrx[2];
  ASSERT_NE(r, g);
  ASSERT_NE(g, b);
  using testing::ElementsAre;
  EXPECT_THAT(bytes(DRM_FORMAT_ARGB8888, 4), ElementsAre(b, g, r, 255));
  EXPECT_THAT(bytes(DRM_FORMAT_XBGR8888, 4), ElementsAre(r, g, b, 255));
  EXPECT_THAT(bytes(DRM_FORMAT_RGBX8888, 4), ElementsAre(255, b, g, r));
  EXPECT_THAT(bytes(DRM_FORMAT_BGRX8888, 4), ElementsAre(255, r, g, b));
  EXPECT_THAT(bytes(DRM_FORMAT_RGB888, 3), ElementsAre(b, g, r));
  EXPECT_THAT(bytes(DRM_FORMAT_BGR888, 3), ElementsAre(r, g, b));

  const double luma = 0.2126 * r + 0.7152 * g + 0.0722 * b;
  const auto nv12 = draw(DRM_FORMAT_NV12);
  const auto i420 = draw(DRM_FORMAT_YUV420);
  EXPECT_NEAR(nv12->At(0, kX, kY), 16 + luma * 219 / 255, 1);
  EXPECT_EQ(nv12->At(0, kX, kY), i420->At(0, kX, kY));
  // Chroma is the mean of four neighbours, which differ by up to 10 levels.
  EXPECT_NEAR(nv12->At(1, kX, kY / 2), 128 + (b - luma) / 1.8556 * 224 / 255,
              4);
  EXPECT_NEAR(nv12->At(1, kX + 1, kY / 2),
              128 + (r - luma) / 1.5748 * 224 / 255, 4);
  EXPECT_EQ(nv12->At(1, kX, kY / 2), i420->At(1, kX / 2, kY / 2));
  EXPECT_EQ(nv12->At(1, kX + 1, kY / 2), i420->At(2, kX / 2, kY / 2));
}

}  // namespace
}  // namespace kine
