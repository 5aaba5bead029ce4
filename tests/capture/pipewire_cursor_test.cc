#include <gtest/gtest.h>
#include <spa/param/video/raw.h>

#include <cstring>
#include <vector>

#include "capture/pipewire_buffers.h"
#include "tests/capture/crafted_buffer.h"

namespace kine {
namespace {

constexpr Rect kWhole{0, 0, 640, 480};

// A buffer with one cursor meta with place for `side` x `side` pixels.
class CursorBuffer {
 public:
  explicit CursorBuffer(uint32_t side)
      : buffer_({16}),
        cursor_(buffer_.AddMeta<spa_meta_cursor>(
            SPA_META_Cursor, sizeof(spa_meta_bitmap) + side * side * 4)) {
    cursor_.id = 1;
  }

  void Move(int x, int y) { cursor_.position = {x, y}; }
  spa_meta_bitmap& SetBitmap(uint32_t format, uint32_t width, uint32_t height,
                             int hot_x, int hot_y) {
    cursor_.hotspot = {hot_x, hot_y};
    cursor_.bitmap_offset = sizeof(spa_meta_cursor);
    spa_meta_bitmap& it = bitmap();
    it.format = format;
    it.size = {width, height};
    it.stride = static_cast<int32_t>(width * 4);
    it.offset = sizeof(spa_meta_bitmap);
    return it;
  }
  // What compositors send when the shape is the one they sent before.
  void ForgetBitmap() {
    cursor_.hotspot = {0, 0};
    cursor_.bitmap_offset = 0;
  }
  void SetPixel(size_t i, std::array<uint8_t, 4> bytes) {
    std::memcpy(reinterpret_cast<std::byte*>(&bitmap() + 1) + i * 4,
                bytes.data(), 4);
  }
  spa_meta_bitmap& bitmap() {
    return *reinterpret_cast<spa_meta_bitmap*>(&cursor_ + 1);
  }
  spa_meta_cursor& cursor() { return cursor_; }
  CraftedBuffer& buffer() { return buffer_; }
  std::optional<CursorUpdate> Read(CursorReader& reader,
                                   const Rect& crop = kWhole) {
    return reader.Read(buffer_.get(), crop, MonoTime::FromNanos(7));
  }

 private:
  CraftedBuffer buffer_;
  spa_meta_cursor& cursor_;
};

std::vector<int> Pixel(const CursorShape& shape, size_t i) {
  std::vector<int> bytes;
  for (size_t c = 0; c < 4; ++c)
    bytes.push_back(std::to_integer<int>(shape.bgra[i * 4 + c]));
  return bytes;
}

TEST(PipeWireCursor, TheBitmapAndItsHotspotAreKeptFromTheOneTimeTheyCome) {
  CursorReader reader;
  CursorBuffer buffer(8);
  buffer.SetBitmap(SPA_VIDEO_FORMAT_RGBA, 8, 8, 3, 2);
  buffer.Move(100, 50);
  std::optional<CursorUpdate> update = buffer.Read(reader);
  ASSERT_TRUE(update.has_value());
  ASSERT_NE(update->shape, nullptr);
  EXPECT_EQ(update->shape->hotspot_x, 3);
  EXPECT_EQ(update->shape->hotspot_y, 2);
  EXPECT_TRUE(update->visible);
  EXPECT_EQ(update->time.nanos(), 7);
  const CursorShape* kept = update->shape;
  buffer.ForgetBitmap();
  buffer.Move(101, 50);
  update = buffer.Read(reader);
  ASSERT_TRUE(update.has_value());
  EXPECT_EQ(update->shape, nullptr);
  EXPECT_EQ(update->x, 101);
  EXPECT_TRUE(update->visible);
  EXPECT_EQ(kept->hotspot_x, 3);
}

TEST(PipeWireCursor, APositionWithoutAnyBitmapIsStillToldAndVisible) {
  CursorReader reader;
  CursorBuffer buffer(8);
  buffer.Move(5, 6);
  const std::optional<CursorUpdate> update = buffer.Read(reader);
  ASSERT_TRUE(update.has_value());
  EXPECT_TRUE(update->visible);
  EXPECT_EQ(update->shape, nullptr);
}

TEST(PipeWireCursor, NothingNewIsNotToldAgain) {
  CursorReader reader;
  CursorBuffer buffer(8);
  buffer.SetBitmap(SPA_VIDEO_FORMAT_RGBA, 8, 8, 0, 0);
  EXPECT_TRUE(buffer.Read(reader).has_value());
  EXPECT_FALSE(buffer.Read(reader).has_value());  // The same bitmap again.
  buffer.SetPixel(9, {1, 1, 1, 1});
  const std::optional<CursorUpdate> update = buffer.Read(reader);
  ASSERT_TRUE(update.has_value());
  EXPECT_NE(update->shape, nullptr);
}

TEST(PipeWireCursor, IdZeroHidesItAndAnEmptyBitmapDoesUntilTheNext) {
  CursorReader reader;
  CursorBuffer buffer(8);
  buffer.SetBitmap(SPA_VIDEO_FORMAT_RGBA, 8, 8, 0, 0);
  EXPECT_TRUE(buffer.Read(reader)->visible);
  buffer.cursor().id = 0;
  EXPECT_FALSE(buffer.Read(reader)->visible);
  buffer.cursor().id = 1;
  buffer.ForgetBitmap();
  EXPECT_TRUE(buffer.Read(reader)->visible);
  buffer.SetBitmap(SPA_VIDEO_FORMAT_RGBA, 0, 0, 0, 0);
  EXPECT_FALSE(buffer.Read(reader)->visible);
  buffer.ForgetBitmap();
  buffer.Move(9, 9);
  EXPECT_FALSE(buffer.Read(reader)->visible);
  buffer.SetBitmap(SPA_VIDEO_FORMAT_RGBA, 4, 4, 0, 0);
  EXPECT_TRUE(buffer.Read(reader)->visible);
}

TEST(PipeWireCursor, PositionsAreRelativeToTheCropAndMayLeaveIt) {
  CursorReader reader;
  CursorBuffer buffer(1);
  buffer.Move(5, 50);
  std::optional<CursorUpdate> update =
      buffer.Read(reader, Rect{10, 20, 100, 100});
  EXPECT_EQ(update->x, -5);
  EXPECT_EQ(update->y, 30);
  buffer.Move(-2'147'483'647, 2'147'483'647);
  update = buffer.Read(reader, Rect{10, 20, 100, 100});
  EXPECT_LT(update->x, -8'192);
  EXPECT_GT(update->y, 8'192);
}

TEST(PipeWireCursor, EveryChannelOrderComesOutAsBgra) {
  const struct {
    uint32_t format;
    std::array<uint8_t, 4> bytes;
  } kCases[] = {{SPA_VIDEO_FORMAT_BGRA, {10, 20, 30, 255}},
                {SPA_VIDEO_FORMAT_RGBA, {30, 20, 10, 255}},
                {SPA_VIDEO_FORMAT_ARGB, {255, 30, 20, 10}},
                {SPA_VIDEO_FORMAT_ABGR, {255, 10, 20, 30}}};
  for (const auto& each : kCases) {
    CursorReader reader;
    CursorBuffer buffer(2);
    buffer.SetBitmap(each.format, 2, 2, 0, 0);
    for (size_t i = 0; i < 4; ++i) buffer.SetPixel(i, each.bytes);
    const std::optional<CursorUpdate> update = buffer.Read(reader);
    ASSERT_NE(update->shape, nullptr);
    EXPECT_EQ(Pixel(*update->shape, 3), (std::vector<int>{10, 20, 30, 255}));
  }
}

TEST(PipeWireCursor, PremultipliedColoursAreMadeStraight) {
  CursorReader reader;
  CursorBuffer buffer(2);
  buffer.SetBitmap(SPA_VIDEO_FORMAT_BGRA, 2, 1, 0, 0);
  buffer.SetPixel(0, {128, 64, 0, 128});
  buffer.SetPixel(1, {0, 0, 0, 0});
  EXPECT_EQ(Pixel(*buffer.Read(reader)->shape, 0),
            (std::vector<int>{255, 128, 0, 128}));
  // A colour above its alpha: they were straight.
  buffer.SetPixel(1, {200, 0, 0, 100});
  const std::optional<CursorUpdate> update = buffer.Read(reader);
  EXPECT_EQ(Pixel(*update->shape, 0), (std::vector<int>{128, 64, 0, 128}));
}

TEST(PipeWireCursor, BitmapsThatLeaveTheMetaAreNotRead) {
  const auto shape_of = [](const auto& change) {
    CursorReader reader;
    CursorBuffer buffer(8);
    buffer.SetBitmap(SPA_VIDEO_FORMAT_RGBA, 8, 8, 0, 0);
    change(buffer);
    const std::optional<CursorUpdate> update = buffer.Read(reader);
    return update.has_value() && update->shape != nullptr;
  };
  EXPECT_TRUE(shape_of([](CursorBuffer&) {}));
  EXPECT_FALSE(shape_of([](CursorBuffer& b) { b.bitmap().size.height = 9; }));
  EXPECT_FALSE(shape_of([](CursorBuffer& b) { b.bitmap().stride = 33; }));
  EXPECT_FALSE(shape_of([](CursorBuffer& b) { b.bitmap().stride = 31; }));
  EXPECT_FALSE(shape_of([](CursorBuffer& b) { b.bitmap().stride = -32; }));
  EXPECT_FALSE(shape_of([](CursorBuffer& b) { b.bitmap().offset = 21; }));
  EXPECT_FALSE(shape_of([](CursorBuffer& b) { b.bitmap().offset = 1; }));
  EXPECT_FALSE(
      shape_of([](CursorBuffer& b) { b.bitmap().offset = 0xfffffff0; }));
  EXPECT_FALSE(shape_of([](CursorBuffer& b) {
    b.bitmap().size = {65536, 65536};
  }));
  EXPECT_FALSE(shape_of([](CursorBuffer& b) { b.bitmap().format = 0; }));
  EXPECT_FALSE(shape_of([](CursorBuffer& b) { b.cursor().bitmap_offset = 1; }));
  EXPECT_FALSE(
      shape_of([](CursorBuffer& b) { b.cursor().bitmap_offset = 0xfffffff0; }));
  EXPECT_FALSE(shape_of([](CursorBuffer& b) { b.buffer().meta(0).size = 30; }));
}

TEST(PipeWireCursor, AHotspotOutsideTheBitmapIsMovedIntoIt) {
  CursorReader reader;
  CursorBuffer buffer(8);
  buffer.SetBitmap(SPA_VIDEO_FORMAT_RGBA, 8, 8, 100, -3);
  const std::optional<CursorUpdate> update = buffer.Read(reader);
  EXPECT_EQ(update->shape->hotspot_x, 7);
  EXPECT_EQ(update->shape->hotspot_y, 0);
}

TEST(PipeWireCursor, ABufferWithoutTheMetaSaysNothing) {
  CursorReader reader;
  CraftedBuffer none({16});
  EXPECT_FALSE(reader.Read(none.get(), kWhole, MonoTime()).has_value());
  CursorBuffer small(1);
  small.buffer().meta(0).size = sizeof(spa_meta_cursor) - 1;
  EXPECT_FALSE(small.Read(reader).has_value());
}

}  // namespace
}  // namespace kine
