// PngOf: a picture as one PNG file, row by row, with settings for speed.
//
// A pure function; any thread.
#pragma once

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"

namespace kine {

enum class PngPixels { kRgb, kRgba };  // Straight alpha.

// `row` writes row `y`: width times R, G, B (sRGB), and alpha where there is
// one. INTERNAL with libpng's words.
absl::StatusOr<std::string> PngOf(
    int width, int height, absl::FunctionRef<void(int y, uint8_t* row)> row,
    PngPixels pixels = PngPixels::kRgb);

}  // namespace kine
