// WritePng: what a frame shows as a PNG in a file. Pure but for the write; any
// thread, as long as the frame lives.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "capture/frame.h"

namespace kine {

struct WrittenPng {
  int width = 0;
  int height = 0;
  uint64_t bytes = 0;
};

// Upright. Scaled down to `width` by `height`, each pixel the mean of those
// that fall into it; 0 for one of them: as the other side is scaled; for both:
// as it is. Never enlarged. UNIMPLEMENTED for memory that is not mapped here (a
// DMA-BUF) and for formats that are not four bytes R, G, B; else errors of the
// frame's layout, of libpng and of the write.
absl::StatusOr<WrittenPng> WritePng(const Frame& frame, int width, int height,
                                    int out_fd);

}  // namespace kine
