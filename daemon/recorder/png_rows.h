// PngOf: a picture as one PNG file, row by row, with settings for speed.
//
// A pure function; any thread.
#pragma once

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"

namespace kine {

// `row` writes row `y`, 3 * width bytes of R, G, B (sRGB). INTERNAL with
// libpng's words.
absl::StatusOr<std::string> PngOf(
    int width, int height, absl::FunctionRef<void(int y, uint8_t* rgb)> row);

}  // namespace kine
