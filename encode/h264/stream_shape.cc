#include "encode/h264/stream_shape.h"

#include <cmath>

#include "daemon/base/check.h"

namespace kine::h264 {
namespace {

constexpr int kMacroblock = 16;
constexpr int kPictureSideMax = 16384;

// Table A-1; max_bit_rate in units of 1000 bits/s, 1250 for High.
struct Level {
  uint8_t idc;
  uint32_t macroblocks_per_second;
  uint32_t frame_macroblocks;
  uint32_t dpb_macroblocks;
  uint32_t max_bit_rate;
};
constexpr Level kLevels[] = {
    {10, 1485, 99, 396, 64},
    {11, 3000, 396, 900, 192},
    {12, 6000, 396, 2376, 384},
    {13, 11880, 396, 2376, 768},
    {20, 11880, 396, 2376, 2000},
    {21, 19800, 792, 4752, 4000},
    {22, 20250, 1620, 8100, 4000},
    {30, 40500, 1620, 8100, 10000},
    {31, 108000, 3600, 18000, 14000},
    {32, 216000, 5120, 20480, 20000},
    {40, 245760, 8192, 32768, 20000},
    {41, 245760, 8192, 32768, 50000},
    {42, 522240, 8704, 34816, 50000},
    {50, 589824, 22080, 110400, 135000},
    {51, 983040, 36864, 184320, 240000},
    {52, 2073600, 36864, 184320, 240000},
    {60, 4177920, 139264, 696320, 240000},
    {61, 8355840, 139264, 696320, 480000},
    {62, 16711680, 139264, 696320, 800000},
};

uint32_t Macroblocks(int pixels) {
  return static_cast<uint32_t>((pixels + kMacroblock - 1) / kMacroblock);
}

bool Allows(const Level& level, const StreamShape& shape) {
  const uint64_t columns = Macroblocks(shape.width);
  const uint64_t rows = Macroblocks(shape.height);
  const uint64_t frame = columns * rows;
  const uint64_t longest_squared = uint64_t{8} * level.frame_macroblocks;
  const uint64_t bit_rate_unit = shape.profile == Profile::kHigh ? 1250 : 1000;
  return frame <= level.frame_macroblocks &&
         columns * columns <= longest_squared &&
         rows * rows <= longest_squared &&
         static_cast<double>(frame) * shape.fps_max <=
             level.macroblocks_per_second &&
         frame * shape.max_num_ref_frames <= level.dpb_macroblocks &&
         shape.bits_per_second <= level.max_bit_rate * bit_rate_unit;
}

}  // namespace

uint8_t LevelFor(const StreamShape& shape, uint8_t at_least) {
  for (const Level& level : kLevels) {
    if (level.idc >= at_least && Allows(level, shape)) return level.idc;
  }
  return std::end(kLevels)[-1].idc;
}

Sps SpsFor(const StreamShape& shape) {
  KINE_CHECK(shape.width > 0 && shape.width <= kPictureSideMax &&
             shape.width % 2 == 0);
  KINE_CHECK(shape.height > 0 && shape.height <= kPictureSideMax &&
             shape.height % 2 == 0);
  KINE_CHECK(shape.fps_max > 0 && shape.fps_max <= 1000);
  Sps sps;
  switch (shape.profile) {
    case Profile::kConstrainedBaseline:
      sps.profile_idc = kProfileBaseline;
      sps.constraints = 0xc0;  // Sets 0 and 1.
      break;
    case Profile::kMain:
      sps.profile_idc = kProfileMain;
      sps.constraints = 0x40;  // Set 1.
      break;
    case Profile::kHigh:
      sps.profile_idc = kProfileHigh;
      sps.constraints = 0x0c;  // Sets 4 and 5: frames only, no B slices.
      break;
  }
  sps.level_idc = LevelFor(shape);
  sps.max_num_ref_frames = shape.max_num_ref_frames;
  sps.width_in_mbs = Macroblocks(shape.width);
  sps.height_in_map_units = Macroblocks(shape.height);
  const Cropping cropping{.right = sps.width_in_mbs * kMacroblock / 2 -
                                   static_cast<uint32_t>(shape.width / 2),
                          .bottom = sps.height_in_map_units * kMacroblock / 2 -
                                    static_cast<uint32_t>(shape.height / 2)};
  if (cropping != Cropping{}) sps.cropping = cropping;

  Vui vui;
  vui.aspect_ratio = AspectRatio{};
  vui.signal = VideoSignal{.color = Color{}};
  vui.chroma_location = ChromaLocation{};
  constexpr uint32_t kTicksAFrame = 1000;
  vui.timing = Timing{.num_units_in_tick = kTicksAFrame,
                      .time_scale = static_cast<uint32_t>(
                          2 * std::lround(shape.fps_max * kTicksAFrame))};
  vui.restriction =
      BitstreamRestriction{.max_dec_frame_buffering = shape.max_num_ref_frames};
  sps.vui = vui;
  return sps;
}

}  // namespace kine::h264
