// PictureCrop: narrows frames to the part of their upright picture that was
// asked for. What is outside of the picture is left out; what is left is none
// when a side of it is below limits::kPictureSideMin.
//
// A value; no thread of its own.
#pragma once

#include <string>

#include "capture/frame.h"

namespace kine {

class PictureCrop {
 public:
  // `asked`: pixels of the upright picture; not empty.
  explicit PictureCrop(const Rect& asked) : asked_(asked) {}

  const Rect& asked() const { return asked_; }

  // What became of a frame, in pixels of its upright picture.
  struct Cut {
    Rect part;  // Empty: nothing is left, and the frame is as it was.
    int width = 0;
    int height = 0;
    int left = 0;  // Of the part, in the frame's own crop.
    int top = 0;
  };
  // From then on the frame shows the part alone: crop and damage say so, the
  // transform stays. A frame whose damage is all outside has none.
  Cut Apply(Frame& frame) const;

  // Why the part is what it is, for people.
  std::string Explain(const Cut& cut) const;
  // "800x600+0+40", "nothing".
  static std::string NameOf(const Rect& part);

 private:
  Rect asked_;
};

}  // namespace kine
