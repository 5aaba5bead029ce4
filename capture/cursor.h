// The pointer as data: where it is and what it looks like.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "capture/frame.h"
#include "daemon/base/clock.h"

namespace kine {

// Pixels of a cursor: BGRA with straight alpha, rows of width * 4 bytes.
struct CursorShape {
  int width = 0;
  int height = 0;
  int hotspot_x = 0;
  int hotspot_y = 0;
  std::vector<std::byte> bgra;
};

// What a source said about the pointer with one buffer.
struct CursorUpdate {
  // As Frame::time, where it came with a picture; else when it arrived.
  MonoTime time;
  bool visible = false;
  // Of the hotspot, in pixels of the frame's crop; may lie outside.
  int x = 0;
  int y = 0;
  // That crop's size, and how it must be turned to be seen upright.
  int width = 0;
  int height = 0;
  Transform transform = Transform::kNormal;
  // Only when the shape changed (compositors send it once); null otherwise.
  const CursorShape* shape = nullptr;
};

}  // namespace kine
