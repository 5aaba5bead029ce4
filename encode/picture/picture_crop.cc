#include "encode/picture/picture_crop.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "capture/pixel_format.h"
#include "daemon/base/limits.h"
#include "encode/picture/macroblock_map.h"

namespace kine {

PictureCrop::Cut PictureCrop::Apply(Frame& frame) const {
  const TransformMap map(frame.transform, frame.crop.width, frame.crop.height);
  Cut cut;
  cut.part = Intersect(asked_, {0, 0, map.width(), map.height()});
  cut.width = map.width();
  cut.height = map.height();
  if (std::min(cut.part.width, cut.part.height) < limits::kPictureSideMin) {
    cut.part = Rect();
    return cut;
  }
  const Rect shown = map.ToCrop(cut.part);
  cut.left = shown.x;
  cut.top = shown.y;
  frame.crop = {frame.crop.x + shown.x, frame.crop.y + shown.y, shown.width,
                shown.height};
  if (frame.damage.full()) return cut;
  // A chroma sample belongs to its luma pixel's neighbour, too.
  const PixelFormatInfo* const pixels = FindPixelFormat(frame.format.fourcc);
  const int border = pixels != nullptr && pixels->yuv ? 1 : 0;
  Damage inside;
  for (const Rect& rect : frame.damage)
    inside.Add({rect.x - shown.x - border, rect.y - shown.y - border,
                rect.width + 2 * border, rect.height + 2 * border});
  inside.Clip({0, 0, shown.width, shown.height});
  frame.damage = inside;
  return cut;
}

std::string PictureCrop::Explain(const Cut& cut) const {
  if (cut.part == asked_)
    return absl::StrFormat("the picture is %dx%d, and the crop is inside",
                           cut.width, cut.height);
  if (!cut.part.empty())
    return absl::StrFormat(
        "the picture is %dx%d; what of the crop is outside of it is left out",
        cut.width, cut.height);
  return absl::StrFormat(
      "crop: of %s less than %dx%d pixels are in the picture, which is %dx%d; "
      "ask for a part of that, or for no crop",
      NameOf(asked_), limits::kPictureSideMin, limits::kPictureSideMin,
      cut.width, cut.height);
}

std::string PictureCrop::NameOf(const Rect& part) {
  if (part.empty()) return "nothing";
  return absl::StrFormat("%dx%d+%d+%d", part.width, part.height, part.x,
                         part.y);
}

}  // namespace kine
