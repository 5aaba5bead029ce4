// The pictures of a self-test, what a decoder must show for them, and how far
// what it shows is from that.
//
// Any thread; no state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "capture/frame.h"

namespace kine {

// Moving, coloured, with text; a pure function of size and number. Its memory
// is `pixels`, which outlives every frame made of it.
struct TestPicture {
  int width = 0;  // Even, as the height.
  int height = 0;
  std::vector<std::byte> pixels;  // XRGB8888, rows without gaps.

  Frame ToFrame(MonoTime time) const;
};
TestPicture DrawTestPicture(int width, int height, uint64_t number);

// I420, BT.709 limited, in double precision and by the standard's formulas: not
// by the code that is tested. Chroma is sited on the left, as in H.264.
std::vector<uint8_t> ReferenceI420(const TestPicture& picture);

// Peak signal-to-noise ratio of 8-bit samples in decibels; kPsnrSame (the most
// there is) when all are equal, 0 when the sizes differ or are nothing.
double Psnr(std::span<const uint8_t> a, std::span<const uint8_t> b);

}  // namespace kine
