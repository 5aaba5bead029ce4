// From what is to be recorded to the sequence parameter set that says so.
//
// Pure functions; any thread.
#pragma once

#include <cstdint>

#include "encode/h264/sps.h"

namespace kine::h264 {

enum class Profile { kConstrainedBaseline, kMain, kHigh };

// What is to be recorded.
struct StreamShape {
  Profile profile = Profile::kHigh;
  int width = 0;  // Visible; even, at most 16384.
  int height = 0;
  double fps_max = 30;
  uint64_t bits_per_second = 0;  // 0: not known.
  uint32_t max_num_ref_frames = 1;
};

// Progressive, without reordering (POC type 2, max_num_reorder_frames 0),
// BT.709 limited, timing of `fps_max` without fixed frame rate, square pixels,
// cropped from whole macroblocks; the lowest level that allows it, not
// below 4.0.
Sps SpsFor(const StreamShape& shape);

// level_idc by table A-1: the lowest, not below `at_least`, that allows the
// frame size, the macroblocks a second, the references and the bit rate; 62
// when none does.
uint8_t LevelFor(const StreamShape& shape, uint8_t at_least = 40);

}  // namespace kine::h264
