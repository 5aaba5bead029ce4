#include "encode/h264/stream_shape.h"

#include <gtest/gtest.h>

namespace kine::h264 {
namespace {

TEST(StreamShapeTest, TheSpsSaysWhatIsRecorded) {
  const Sps sps = SpsFor({.width = 1920, .height = 1080, .fps_max = 29.97});
  EXPECT_EQ(sps.profile_idc, kProfileHigh);
  EXPECT_EQ(sps.constraints, 0x0c);
  EXPECT_EQ(sps.level_idc, 40);
  EXPECT_EQ(sps.width_in_mbs, 120u);
  EXPECT_EQ(sps.height_in_map_units, 68u);
  EXPECT_TRUE(sps.cropping == (Cropping{.bottom = 4}));
  ASSERT_TRUE(sps.vui.has_value());
  EXPECT_TRUE(
      sps.vui->signal ==
      (VideoSignal{.format = 5, .full_range = false, .color = Color{}}));
  EXPECT_TRUE(sps.vui->timing == (Timing{1000, 59940, false}));
  EXPECT_EQ(sps.vui->restriction->max_num_reorder_frames, 0u);
  EXPECT_EQ(sps.vui->restriction->max_dec_frame_buffering, 1u);
  EXPECT_EQ(sps.poc_type, 2u);
  EXPECT_FALSE(SpsFor({.width = 64, .height = 48}).cropping.has_value());
}

TEST(StreamShapeTest, EachProfileHasItsConstraints) {
  const auto of = [](Profile profile) {
    return SpsFor({.profile = profile, .width = 64, .height = 48});
  };
  EXPECT_EQ(of(Profile::kConstrainedBaseline).profile_idc, 66);
  EXPECT_EQ(of(Profile::kConstrainedBaseline).constraints, 0xc0);
  EXPECT_EQ(of(Profile::kMain).profile_idc, 77);
  EXPECT_EQ(of(Profile::kMain).constraints, 0x40);
}

TEST(StreamShapeTest, TheLevelAllowsAllOfIt) {
  StreamShape shape{.width = 1920, .height = 1080};
  EXPECT_EQ(LevelFor(shape), 40);
  EXPECT_EQ(LevelFor(shape, 0), 40);
  shape.fps_max = 60;
  EXPECT_EQ(LevelFor(shape), 42);  // 489,600 macroblocks/s.
  shape.fps_max = 30;
  shape.bits_per_second = 25'000'000;
  EXPECT_EQ(LevelFor(shape), 40);  // 20,000 * 1250.
  shape.bits_per_second += 1;
  EXPECT_EQ(LevelFor(shape), 41);
  shape.profile = Profile::kMain;
  shape.bits_per_second = 20'000'001;
  EXPECT_EQ(LevelFor(shape), 41);
  shape.bits_per_second = 0;
  shape.max_num_ref_frames = 5;  // Level 4 holds four.
  EXPECT_EQ(LevelFor(shape), 50);
}

TEST(StreamShapeTest, TheSidesAreLimitedToo) {
  // 4,096 macroblocks would fit level 4.0; 256 in a row do, 257 do not.
  EXPECT_EQ(LevelFor({.width = 4096, .height = 256}), 40);
  EXPECT_EQ(LevelFor({.width = 4112, .height = 256}), 42);
  EXPECT_EQ(LevelFor({.width = 256, .height = 4240}), 50);
  EXPECT_EQ(LevelFor({.width = 320, .height = 240}, 0), 13);
  EXPECT_EQ(LevelFor({.width = 3840, .height = 2160}), 51);
  EXPECT_EQ(LevelFor({.width = 16384, .height = 16384, .fps_max = 120}), 62);
}

}  // namespace
}  // namespace kine::h264
