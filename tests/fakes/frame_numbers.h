// Reads the frame number and the time of a test pattern (capture/pattern.h)
// back from a decoded picture.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "daemon/base/clock.h"

namespace kine {

// Eight bits of brightness a pixel: the luma plane of a decoded frame.
struct GrayPicture {
  const std::byte* data = nullptr;
  size_t stride = 0;
  int width = 0;
  int height = 0;
};

// Modulo 2^24. None when a bit and its inverse do not disagree: no test
// pattern, or damaged beyond trust.
std::optional<uint32_t> ReadFrameNumber(const GrayPicture& picture);

// When the frame was due, in whole microseconds. None also for pictures that
// are too small to carry it.
std::optional<MonoTime> ReadFrameTime(const GrayPicture& picture);

}  // namespace kine
