// A decoded picture as PNG: 8-bit RGB, full range, fast settings.
//
// Any thread; no state.
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "daemon/frames/h264_decoder.h"

namespace kine::frames {

// INTERNAL with libpng's words.
absl::StatusOr<std::string> ToPng(const DecodedPicture& picture);

// One row of `picture` as R, G, B bytes: 3 * width of them.
void RowToRgb(const DecodedPicture& picture, int row, uint8_t* rgb);

}  // namespace kine::frames
