// Facts about the pixel formats we take. The common currency is the DRM fourcc
// (drm_fourcc.h names channels from the most significant byte of a
// little-endian word: XRGB8888 is B,G,R,x in memory).
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace kine {

struct PixelFormatInfo {
  uint32_t fourcc;
  absl::string_view name;  // As PipeWire calls it: "BGRx", "NV12".
  int planes;
  // Bytes a pixel of plane 0.
  int bytes_per_pixel;
  bool yuv;
  // Chroma planes are this many times smaller (YUV): 1 or 2.
  int chroma_shift_x;  // log2
  int chroma_shift_y;  // log2
};

// Null for a format we do not know.
const PixelFormatInfo* FindPixelFormat(uint32_t fourcc);

// "BGRx", or "0x34325258" for an unknown one.
std::string PixelFormatName(uint32_t fourcc);

// "linear", or hexadecimal digits: "0x100000000000001".
std::string ModifierName(uint64_t modifier);

}  // namespace kine
