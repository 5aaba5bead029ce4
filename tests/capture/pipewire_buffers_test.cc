#include "capture/pipewire_buffers.h"

#include <drm_fourcc.h>
#include <gtest/gtest.h>
#include <spa/param/video/raw.h>

#include <array>
#include <cstring>
#include <vector>

#include "tests/capture/crafted_buffer.h"

namespace kine {
namespace {

using Kind = BufferReading::Kind;

VideoFormat Format(uint32_t fourcc, int width, int height) {
  VideoFormat format;
  format.fourcc = fourcc;
  format.width = width;
  format.height = height;
  return format;
}

// SPA_REGION is C.
spa_region Region(int x, int y, uint32_t width, uint32_t height) {
  return spa_region{{x, y}, {width, height}};
}

const VideoFormat kScreen = Format(DRM_FORMAT_XRGB8888, 64, 32);

TEST(PipeWireBuffer, APlainOneIsAWholePictureOfUnknownDamage) {
  CraftedBuffer buffer({64 * 32 * 4});
  buffer.chunk(0).stride = 256;
  const BufferReading reading = ReadBuffer(buffer.get(), kScreen);
  EXPECT_EQ(reading.kind, Kind::kPicture);
  EXPECT_EQ(reading.crop, (Rect{0, 0, 64, 32}));
  EXPECT_EQ(reading.transform, Transform::kNormal);
  EXPECT_EQ(reading.plane_count, 1);
  EXPECT_EQ(reading.planes[0].stride, 256u);
  EXPECT_EQ(reading.planes[0].size, 8192u);
  EXPECT_TRUE(reading.damage.full());
  EXPECT_FALSE(reading.damage_is_source);
  EXPECT_FALSE(reading.pts.has_value());
}

TEST(PipeWireBuffer, StrideZeroMeansTheFormatsOwn) {
  CraftedBuffer buffer({64 * 32 * 4});
  EXPECT_EQ(ReadBuffer(buffer.get(), kScreen).planes[0].stride, 256u);
  // 17 pixels of 3 bytes: padded to 52, unless only 51 fit.
  const VideoFormat rgb = Format(DRM_FORMAT_BGR888, 17, 10);
  CraftedBuffer padded({52 * 10});
  EXPECT_EQ(ReadBuffer(padded.get(), rgb).planes[0].stride, 52u);
  CraftedBuffer tight({51 * 10});
  EXPECT_EQ(ReadBuffer(tight.get(), rgb).planes[0].stride, 51u);
}

TEST(PipeWireBuffer, OddShortAndNegativeStridesAreCorrupted) {
  for (int32_t stride : {255, 257, 1, -256, 0x7fffffff}) {
    CraftedBuffer buffer({64 * 33 * 4});
    buffer.chunk(0).stride = stride;
    EXPECT_EQ(ReadBuffer(buffer.get(), kScreen).kind, Kind::kCorrupted)
        << stride;
  }
  CraftedBuffer wider({260 * 32});
  wider.chunk(0).stride = 260;
  EXPECT_EQ(ReadBuffer(wider.get(), kScreen).kind, Kind::kPicture);
}

TEST(PipeWireBuffer, APictureThatDoesNotFitItsBytesIsCorrupted) {
  CraftedBuffer buffer({64 * 32 * 4});
  buffer.chunk(0).stride = 256;
  buffer.chunk(0).size = 8191;
  EXPECT_EQ(ReadBuffer(buffer.get(), kScreen).kind, Kind::kCorrupted);
  buffer.chunk(0).size = 8192;
  buffer.chunk(0).offset = 4;
  EXPECT_EQ(ReadBuffer(buffer.get(), kScreen).kind, Kind::kCorrupted);
  // A chunk that claims more than the memory has is cut to it.
  buffer.chunk(0).offset = 0;
  buffer.chunk(0).size = 0xffffffff;
  EXPECT_EQ(ReadBuffer(buffer.get(), kScreen).planes[0].size, 8192u);
  buffer.data(0).maxsize = 8191;
  EXPECT_EQ(ReadBuffer(buffer.get(), kScreen).kind, Kind::kCorrupted);
  buffer.data(0).maxsize = 0;
  EXPECT_EQ(ReadBuffer(buffer.get(), kScreen).kind, Kind::kCorrupted);
}

TEST(PipeWireBuffer, AnOffsetIsTakenModuloTheMemory) {
  CraftedBuffer buffer({64 * 33 * 4});
  buffer.chunk(0).stride = 256;
  buffer.chunk(0).offset = 64 * 33 * 4 + 256;
  const BufferReading reading = ReadBuffer(buffer.get(), kScreen);
  EXPECT_EQ(reading.kind, Kind::kPicture);
  EXPECT_EQ(reading.planes[0].offset, 256u);
  EXPECT_EQ(reading.planes[0].size, 8192u);
}

TEST(PipeWireBuffer, ACursorOnlyOneIsNoPictureAndNotCorrupted) {
  CraftedBuffer buffer({64 * 32 * 4});
  buffer.AddMeta<spa_meta_cursor>(SPA_META_Cursor);
  buffer.chunk(0).size = 0;
  buffer.chunk(0).flags = SPA_CHUNK_FLAG_CORRUPTED;
  EXPECT_EQ(ReadBuffer(buffer.get(), kScreen).kind, Kind::kNoPicture);
  buffer.chunk(0).flags = 0;
  EXPECT_EQ(ReadBuffer(buffer.get(), kScreen).kind, Kind::kNoPicture);
  buffer.chunk(0).size = 8192;
  buffer.chunk(0).flags = SPA_CHUNK_FLAG_CORRUPTED;
  EXPECT_EQ(ReadBuffer(buffer.get(), kScreen).kind, Kind::kNoPicture);
}

TEST(PipeWireBuffer, WithoutACursorAnEmptyOneIsCorrupted) {
  CraftedBuffer buffer({64 * 32 * 4});
  buffer.chunk(0).size = 0;
  EXPECT_EQ(ReadBuffer(buffer.get(), kScreen).kind, Kind::kCorrupted);
}

TEST(PipeWireBuffer, TheHeadersCorruptedFlagDropsItWhole) {
  CraftedBuffer buffer({64 * 32 * 4});
  buffer.AddMeta<spa_meta_cursor>(SPA_META_Cursor);
  auto& header = buffer.AddMeta<spa_meta_header>(SPA_META_Header);
  header.flags = SPA_META_HEADER_FLAG_CORRUPTED;
  header.seq = 7;
  EXPECT_EQ(ReadBuffer(buffer.get(), kScreen).kind, Kind::kCorrupted);
  EXPECT_EQ(ReadBuffer(buffer.get(), kScreen).seq, 7u);
}

TEST(PipeWireBuffer, StampsOfMinusOneAndZeroAreNone) {
  CraftedBuffer buffer({64 * 32 * 4});
  auto& header = buffer.AddMeta<spa_meta_header>(SPA_META_Header);
  for (int64_t pts : {int64_t{-1}, int64_t{0}}) {
    header.pts = pts;
    EXPECT_FALSE(ReadBuffer(buffer.get(), kScreen).pts.has_value());
  }
  header.pts = 5;
  EXPECT_EQ(ReadBuffer(buffer.get(), kScreen).pts, 5);
}

TEST(PipeWireBuffer, CropsAreCutToTheBufferAndNonsenseIsIgnored) {
  CraftedBuffer buffer({64 * 32 * 4});
  auto& crop = buffer.AddMeta<spa_meta_region>(SPA_META_VideoCrop);
  const auto read = [&](int x, int y, uint32_t width, uint32_t height) {
    crop.region = Region(x, y, width, height);
    return ReadBuffer(buffer.get(), kScreen).crop;
  };
  const Rect whole{0, 0, 64, 32};
  EXPECT_EQ(read(4, 2, 10, 20), (Rect{4, 2, 10, 20}));
  EXPECT_EQ(read(60, 30, 10, 20), (Rect{60, 30, 4, 2}));
  EXPECT_EQ(read(-4, -2, 10, 20), (Rect{0, 0, 6, 18}));
  EXPECT_EQ(read(0, 0, 0, 0), whole);
  EXPECT_EQ(read(64, 0, 10, 10), whole);
  EXPECT_EQ(read(-2'000'000'000, 0, 5, 5), whole);
  EXPECT_EQ(read(0, 0, 0xffffffff, 0xffffffff), whole);
  EXPECT_EQ(read(0x7fffffff, 0x7fffffff, 0xffffffff, 0xffffffff), whole);
}

TEST(PipeWireBuffer, DamageEndsAtTheFirstEmptyRegion) {
  CraftedBuffer buffer({64 * 32 * 4});
  auto* regions = buffer.AddMetas<spa_meta_region>(SPA_META_VideoDamage, 4);
  regions[0].region = Region(1, 2, 3, 4);
  regions[1].region = Region(60, 30, 100, 100);
  regions[3].region = Region(9, 9, 9, 9);
  const BufferReading reading = ReadBuffer(buffer.get(), kScreen);
  EXPECT_TRUE(reading.damage_is_source);
  EXPECT_FALSE(reading.damage.full());
  const std::vector<Rect> rects(reading.damage.begin(), reading.damage.end());
  EXPECT_EQ(rects, (std::vector<Rect>{{1, 2, 3, 4}, {60, 30, 4, 2}}));
}

TEST(PipeWireBuffer, DamageOfAllRegionsNeedsNoEndMark) {
  CraftedBuffer buffer({64 * 32 * 4});
  auto* regions = buffer.AddMetas<spa_meta_region>(SPA_META_VideoDamage, 2);
  regions[0].region = Region(0, 0, 1, 1);
  regions[1].region = Region(2, 2, 1, 1);
  const BufferReading reading = ReadBuffer(buffer.get(), kScreen);
  EXPECT_EQ(reading.damage.end() - reading.damage.begin(), 2);
}

TEST(PipeWireBuffer, AnEmptyDamageListIsNoMeasurement) {
  CraftedBuffer buffer({64 * 32 * 4});
  buffer.AddMetas<spa_meta_region>(SPA_META_VideoDamage, 4);
  const BufferReading reading = ReadBuffer(buffer.get(), kScreen);
  EXPECT_TRUE(reading.damage.full());
  EXPECT_FALSE(reading.damage_is_source);
}

TEST(PipeWireBuffer, DamageIsRelativeToTheCropAndCutToIt) {
  CraftedBuffer buffer({64 * 32 * 4});
  buffer.AddMeta<spa_meta_region>(SPA_META_VideoCrop).region =
      Region(10, 10, 20, 10);
  auto* regions = buffer.AddMetas<spa_meta_region>(SPA_META_VideoDamage, 4);
  regions[0].region = Region(0, 0, 12, 15);
  regions[1].region = Region(40, 0, 5, 5);
  BufferReading reading = ReadBuffer(buffer.get(), kScreen);
  std::vector<Rect> rects(reading.damage.begin(), reading.damage.end());
  EXPECT_EQ(rects, (std::vector<Rect>{{0, 0, 2, 5}}));
  // Only outside: a measured nothing.
  regions[0].region = Region(0, 0, 5, 5);
  reading = ReadBuffer(buffer.get(), kScreen);
  EXPECT_TRUE(reading.damage.empty());
  EXPECT_TRUE(reading.damage_is_source);
}

TEST(PipeWireBuffer, TransformsAreReadAndUnknownOnesIgnored) {
  CraftedBuffer buffer({64 * 32 * 4});
  auto& meta = buffer.AddMeta<spa_meta_videotransform>(SPA_META_VideoTransform);
  meta.transform = SPA_META_TRANSFORMATION_Flipped90;
  EXPECT_EQ(ReadBuffer(buffer.get(), kScreen).transform, Transform::kFlipped90);
  meta.transform = 8;
  EXPECT_EQ(ReadBuffer(buffer.get(), kScreen).transform, Transform::kNormal);
}

TEST(PipeWireBuffer, MetasSmallerThanTheirTypeAreNotRead) {
  CraftedBuffer buffer({64 * 32 * 4});
  buffer.AddMeta<spa_meta_header>(SPA_META_Header).pts = 5;
  buffer.AddMeta<spa_meta_region>(SPA_META_VideoCrop).region =
      Region(1, 1, 1, 1);
  buffer.AddMeta<spa_meta_region>(SPA_META_VideoDamage).region =
      Region(1, 1, 1, 1);
  for (uint32_t i = 0; i < 3; ++i) buffer.meta(i).size = 15;
  const BufferReading reading = ReadBuffer(buffer.get(), kScreen);
  EXPECT_FALSE(reading.pts.has_value());
  EXPECT_EQ(reading.crop, (Rect{0, 0, 64, 32}));
  EXPECT_TRUE(reading.damage.full());
}

TEST(PipeWireBuffer, PlanesInOneDataFollowEachOther) {
  // 5 x 3 in GStreamer's layout: luma 8 x 4, chroma 4 x 2 twice.
  const VideoFormat i420 = Format(DRM_FORMAT_YUV420, 5, 3);
  CraftedBuffer one({8 * 4 + 4 * 2 * 2});
  BufferReading reading = ReadBuffer(one.get(), i420);
  ASSERT_EQ(reading.kind, Kind::kPicture);
  EXPECT_EQ(reading.plane_count, 3);
  EXPECT_EQ(reading.planes[0].stride, 8u);
  EXPECT_EQ(reading.planes[1].offset, 32u);
  EXPECT_EQ(reading.planes[1].stride, 4u);
  EXPECT_EQ(reading.planes[2].offset, 40u);
  CraftedBuffer small({8 * 4 + 4 * 2 * 2 - 2});
  EXPECT_EQ(ReadBuffer(small.get(), i420).kind, Kind::kCorrupted);

  const VideoFormat nv12 = Format(DRM_FORMAT_NV12, 6, 4);
  CraftedBuffer two({8 * 4 + 8 * 2});
  two.chunk(0).stride = 8;
  reading = ReadBuffer(two.get(), nv12);
  ASSERT_EQ(reading.kind, Kind::kPicture);
  EXPECT_EQ(reading.plane_count, 2);
  EXPECT_EQ(reading.planes[1].offset, 32u);
  EXPECT_EQ(reading.planes[1].stride, 8u);
}

TEST(PipeWireBuffer, PlanesInTheirOwnDatasHaveTheirOwnStrides) {
  const VideoFormat nv12 = Format(DRM_FORMAT_NV12, 6, 4);
  CraftedBuffer buffer({64 * 4, 32 * 2});
  buffer.chunk(0).stride = 64;
  buffer.chunk(1).stride = 32;
  const BufferReading reading = ReadBuffer(buffer.get(), nv12);
  ASSERT_EQ(reading.kind, Kind::kPicture);
  EXPECT_EQ(reading.planes[1].data, 1u);
  EXPECT_EQ(reading.planes[1].offset, 0u);
  EXPECT_EQ(reading.planes[1].stride, 32u);
  buffer.chunk(1).size = 33;
  EXPECT_EQ(ReadBuffer(buffer.get(), nv12).kind, Kind::kCorrupted);
}

TEST(PipeWireSequence, GapsAreCountedAndZeroesAreNot) {
  SequenceCounter counter;
  EXPECT_EQ(counter.Next(100), 0u);  // The first says nothing.
  EXPECT_EQ(counter.Next(101), 0u);
  EXPECT_EQ(counter.Next(104), 2u);
  EXPECT_EQ(counter.Next(104), 0u);
  EXPECT_EQ(counter.Next(3), 0u);  // Counted anew.
  EXPECT_EQ(counter.Next(~uint64_t{0}), 0u);
  SequenceCounter mutter;
  for (int i = 0; i < 5; ++i) EXPECT_EQ(mutter.Next(0), 0u);
}

MonoTime Ms(int64_t ms) { return MonoTime::FromNanos(ms * 1'000'000); }
int64_t Nanos(int64_t ms) { return ms * 1'000'000; }

TEST(PipeWireTimes, TheSourcesStampIsUsedWhereItIsPlausible) {
  FrameTimes times(Ms(1000));
  FrameTimes::Stamp stamp = times.Next(Nanos(1500), Ms(1510));
  EXPECT_EQ(stamp.time, Ms(1500));
  EXPECT_TRUE(stamp.is_source);
  stamp = times.Next(std::nullopt, Ms(1600));
  EXPECT_EQ(stamp.time, Ms(1600));
  EXPECT_FALSE(stamp.is_source);
}

TEST(PipeWireTimes, AFirstFrameOlderThanTheStreamMovesToItsStart) {
  FrameTimes times(Ms(1000));
  const FrameTimes::Stamp stamp = times.Next(Nanos(10), Ms(1510));
  EXPECT_EQ(stamp.time, Ms(1000));
  EXPECT_TRUE(stamp.is_source);
  // A clock of its own: not every frame at the start.
  EXPECT_EQ(times.Next(Nanos(20), Ms(1520)).time, Ms(1520));
}

TEST(PipeWireTimes, StampsFarAheadAndBackwardsBecomeTheArrival) {
  FrameTimes times(Ms(1000));
  EXPECT_EQ(times.Next(Nanos(2501), Ms(1500)).time, Ms(1500));
  EXPECT_EQ(times.Next(Nanos(2500), Ms(1510)).time, Ms(2500));
  const FrameTimes::Stamp back = times.Next(Nanos(1400), Ms(1520));
  EXPECT_FALSE(back.is_source);
  EXPECT_EQ(back.time, Ms(2500));  // Never backwards.
}

// What a hostile or broken producer may say of a DMA-BUF.
BufferReading::Kind KindOfDmabuf(uint64_t modifier, uint32_t offset,
                                 int32_t stride, size_t size) {
  VideoFormat format;
  format.fourcc = DRM_FORMAT_XRGB8888;
  format.modifier = modifier;
  format.width = 64;
  format.height = 32;
  CraftedBuffer buffer({0});
  buffer.chunk(0).offset = offset;
  buffer.chunk(0).stride = stride;
  return ReadDmabuf(buffer.get(), format, std::array{size}).kind;
}

TEST(PipeWireBuffers, ALinearDmabufMustHoldItsPicture) {
  constexpr size_t kSize = 64 * 32 * 4;
  const auto kind = [](uint32_t offset, int32_t stride, size_t size) {
    return KindOfDmabuf(DRM_FORMAT_MOD_LINEAR, offset, stride, size);
  };
  EXPECT_EQ(kind(0, 256, kSize), Kind::kPicture);
  EXPECT_EQ(kind(4, 256, kSize), Kind::kCorrupted);
  EXPECT_EQ(kind(4, 256, kSize + 4), Kind::kPicture);
  EXPECT_EQ(kind(0, 256, kSize - 1), Kind::kCorrupted);
  EXPECT_EQ(kind(0, 252, kSize), Kind::kCorrupted);
  EXPECT_EQ(kind(0, 0, kSize), Kind::kCorrupted);
  EXPECT_EQ(kind(0, -256, kSize), Kind::kCorrupted);
  EXPECT_EQ(kind(0xffff'fff0, 256, kSize), Kind::kCorrupted);
  EXPECT_EQ(kind(0, INT32_MAX, kSize), Kind::kCorrupted);
}

TEST(PipeWireBuffers, OfATiledDmabufOnlyWhereItBeginsIsKnown) {
  EXPECT_EQ(KindOfDmabuf(0x23, 0, 64, 100), Kind::kPicture);
  EXPECT_EQ(KindOfDmabuf(0x23, 99, 64, 100), Kind::kPicture);
  EXPECT_EQ(KindOfDmabuf(0x23, 100, 64, 100), Kind::kCorrupted);
  EXPECT_EQ(KindOfDmabuf(0x23, 0, 0, 100), Kind::kCorrupted);
}

TEST(PipeWireBuffers, ATiledDmabufMayHaveMorePlanesThanItsPixels) {
  VideoFormat format;
  format.fourcc = DRM_FORMAT_NV12;
  format.modifier = 0x23;
  format.width = 64;
  format.height = 32;
  CraftedBuffer buffer({0, 0, 0});
  for (size_t i = 0; i < 3; ++i) {
    buffer.chunk(i).offset = static_cast<uint32_t>(100 * i);
    buffer.chunk(i).stride = 64;
  }
  const std::array<size_t, 3> sizes = {1000, 1000, 1000};
  BufferReading reading = ReadDmabuf(buffer.get(), format, sizes);
  EXPECT_EQ(reading.kind, BufferReading::Kind::kPicture);
  EXPECT_EQ(reading.plane_count, 3);
  EXPECT_EQ(reading.planes[2].offset, 200u);
  EXPECT_EQ(reading.planes[2].data, 2u);
  // Too few of them.
  reading = ReadDmabuf(buffer.get(), format, {sizes.data(), 1});
  EXPECT_EQ(reading.kind, BufferReading::Kind::kCorrupted);
  // Linear: both planes of one buffer are behind each other.
  format.modifier = DRM_FORMAT_MOD_LINEAR;
  const std::array<size_t, 1> whole = {64 * 32 * 3 / 2};
  reading = ReadDmabuf(buffer.get(), format, whole);
  EXPECT_EQ(reading.kind, BufferReading::Kind::kPicture);
  EXPECT_EQ(reading.plane_count, 2);
  EXPECT_EQ(reading.planes[1].data, 0u);
  EXPECT_EQ(reading.planes[1].offset, 64u * 32);
}

TEST(PipeWireBuffers, ADmabufThatOnlyMovesThePointerIsNoPicture) {
  VideoFormat format;
  format.fourcc = DRM_FORMAT_XRGB8888;
  format.width = 64;
  format.height = 32;
  CraftedBuffer buffer({0});
  buffer.chunk(0).stride = 256;
  buffer.chunk(0).flags = SPA_CHUNK_FLAG_CORRUPTED;
  const std::array<size_t, 1> sizes = {64 * 32 * 4};
  EXPECT_EQ(ReadDmabuf(buffer.get(), format, sizes).kind,
            BufferReading::Kind::kCorrupted);
  buffer.AddMeta<spa_meta_cursor>(SPA_META_Cursor);
  EXPECT_EQ(ReadDmabuf(buffer.get(), format, sizes).kind,
            BufferReading::Kind::kNoPicture);
}

}  // namespace
}  // namespace kine
