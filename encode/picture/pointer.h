// Pointer: what is drawn over a picture where its source tells it as data.
//
// A value; no thread of its own.
#pragma once

#include <memory>

#include "capture/cursor.h"
#include "daemon/base/clock.h"

namespace kine {

struct Pointer {
  std::shared_ptr<const CursorShape> shape;  // Null: it is not visible.
  // Of the hotspot, in pixels of the frame's crop; may lie outside.
  int x = 0;
  int y = 0;
  // Since when it is so, on the clock of the frames.
  MonoTime time;
};

}  // namespace kine
