// The pointer as it travels from a source to every recording of a capture:
// values that are copied, shapes that are shared.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "capture/cursor.h"
#include "daemon/base/clock.h"

namespace kine {

// A shape and the name of its file.
struct CursorImage {
  CursorShape shape;
  // Of size, hotspot and pixels: 32 lower-case hexadecimal digits.
  std::string hash;
};

// The pointer from `time` on.
struct CursorState {
  MonoTime time;
  bool visible = false;
  // Of the hotspot, in pixels of the upright picture (which is `width` x
  // `height`); may lie outside.
  int x = 0;
  int y = 0;
  int width = 0;
  int height = 0;
  std::shared_ptr<const CursorImage> image;  // Null: nobody has told it yet.
};

// By time.
struct CursorBatch {
  std::vector<CursorState> states;
  // Moves between others that were given up, since more came than a batch has
  // room for.
  uint64_t merged = 0;
};

}  // namespace kine
