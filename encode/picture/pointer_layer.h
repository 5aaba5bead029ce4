// PointerLayer: the pointer over the planes of a kept picture, and the plain
// macroblocks beneath it, which are kept aside. So a picture never holds a
// trace of where the pointer was, however often it moved.
//
//   Lift() -> the planes are plain and may change -> Lay() -> ...
//
// Blending is linear and so is the conversion to YUV: the shape, multiplied by
// its alpha, goes through the frames' own kernel, and what the alpha leaves of
// the picture is added. Opaque pixels are bit by bit what a frame with the
// pointer in it would give; others are within 2 of it. Chroma is that of 2x2
// pixels, each by its alpha.
//
// Encode thread only.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "capture/cursor.h"
#include "capture/frame.h"
#include "encode/picture/color_kernel.h"
#include "encode/picture/macroblock_map.h"
#include "encode/picture/pointer.h"

namespace kine {

class PointerLayer {
 public:
  explicit PointerLayer(const ColorKernel& kernel) : kernel_(kernel) {}

  // NV12 of whole macroblocks; what is beyond width and height repeats the
  // edge.
  struct Planes {
    uint8_t* luma = nullptr;
    uint8_t* chroma = nullptr;
    int stride = 0;
    int width = 0;
    int height = 0;
  };

  // The planes are plain from here on.
  void Lift(const Planes& planes);
  // Draws `pointer` (null: none), whose crop `map` turns upright. `changed`
  // marks what of the plain picture has changed since Lift(); afterwards, what
  // looks other than before it.
  void Lay(const Pointer* pointer, Transform transform, const TransformMap& map,
           const Planes& planes, MacroblockMap& changed);
  // Nothing is drawn: the planes are new ones.
  void Forget();
  bool empty() const { return blocks_.empty(); }

 private:
  struct Block {
    int column = 0;
    int row = 0;
    std::array<uint8_t, 256> luma;
    std::array<uint8_t, 128> chroma;
  };

  // Turns the shape upright and multiplies it, unless it is done.
  void Prepare(const std::shared_ptr<const CursorShape>& shape,
               Transform transform);
  // Keeps the plain macroblocks that `area` (upright) touches, then draws.
  void Draw(const Rect& area, const Planes& planes);
  // Rows `y` and `y` + 1 of the macroblock columns [first, last).
  void DrawRows(const Rect& area, const Planes& planes, int first, int last,
                int y);
  void FillRow(const Rect& area, const Planes& planes, int first, int last,
               int y, uint8_t* row) const;

  const ColorKernel kernel_;
  // Drawn over: what is beneath. Lifted: what it looked like.
  std::vector<Block> blocks_;
  std::vector<Block> lifted_;

  std::shared_ptr<const CursorShape> shape_;
  Transform transform_ = Transform::kNormal;
  int width_ = 0;  // Of `shape_` turned upright; its bytes are B, G, R, alpha.
  int height_ = 0;
  std::vector<uint8_t> multiplied_;

  // Two rows of pixels, and what the kernel makes of them.
  std::vector<uint8_t> rows_;
  std::vector<uint8_t> converted_;
};

}  // namespace kine
