// FrameReader: one frame's pixels as upright rows of 4-byte pixels, whatever
// its format, crop and transform; never reads a byte outside of its planes.
//
// A view: the frame must outlive it. Encode thread only.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "capture/frame.h"
#include "encode/picture/color_kernel.h"
#include "encode/picture/macroblock_map.h"

namespace kine {

class FrameReader {
 public:
  // INVALID_ARGUMENT when crop, strides and plane sizes do not fit together,
  // UNIMPLEMENTED for an unknown format, tiling, or memory that is not mapped.
  static absl::StatusOr<FrameReader> Open(const Frame& frame);

  // Of the upright picture; may be odd.
  int width() const { return map_.width(); }
  int height() const { return map_.height(); }
  const YuvWeights& weights() const { return weights_; }

  // What of the upright picture `rect` (in the crop) can change.
  Rect DamageOf(const Rect& rect) const;

  // `pixels` pixels of row `y` from column `x` on. Beyond the right and the
  // bottom edge the last pixel repeats; `x` is inside. Returns the frame's own
  // memory where it has that form, else `scratch` (4 * pixels bytes).
  const uint8_t* Row(int x, int y, int pixels, uint8_t* scratch) const;

  // True when the frame's samples are already what a conversion would give:
  // then CopyRows() replaces Row() and the kernel.
  bool is_nv12_or_i420_as_wanted() const { return copyable_; }
  // Rows `y` (even) and `y` + 1 as the kernel would give them.
  void CopyRows(int x, int y, int pixels, uint8_t* luma_a, uint8_t* luma_b,
                uint8_t* chroma) const;

 private:
  enum class Kind { kFourBytes, kThreeBytes, kNv12, kI420 };

  FrameReader(const Frame& frame, Kind kind);
  // The first byte of the crop's pixel of plane 0.
  const uint8_t* At(TransformMap::Point crop) const;
  void GatherRgb(int x, int y, int pixels, uint8_t* to) const;
  void GatherYuv(int x, int y, int pixels, uint8_t* to) const;

  const Frame* frame_;
  Kind kind_;
  TransformMap map_;
  YuvWeights weights_;
  bool copyable_ = false;
};

}  // namespace kine
