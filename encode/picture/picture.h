// Picture: the one picture an encoder keeps, as BT.709 limited NV12, brought up
// to date from the damaged macroblocks of each frame.
//
// Damaged macroblocks are converted into scratch memory and compared with what
// is kept: only those that really differ count as changed. Sources report too
// much (whole windows, or everything), and a comparison costs a tenth of
// encoding the macroblock.
//
// A pointer is drawn over the picture and is no part of what is kept: see
// PointerLayer.
//
// Encode thread only.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "capture/frame.h"
#include "encode/picture/color_kernel.h"
#include "encode/picture/frame_reader.h"
#include "encode/picture/macroblock_map.h"
#include "encode/picture/pointer.h"
#include "encode/picture/pointer_layer.h"

namespace kine {

class Picture {
 public:
  // `kernel` must be one of ColorKernels().
  explicit Picture(const ColorKernel& kernel = ColorKernels().front())
      : kernel_(kernel), pointer_(kernel) {}

  // Takes over what `frame` shows, with `pointer` (null: none) over it. A new
  // size, format, crop or transform makes everything damaged; a new size makes
  // everything changed, too. On an error the picture is as before and the next
  // Take() looks at everything.
  absl::Status Take(const Frame& frame, const Pointer* pointer = nullptr);
  // The picture as it was taken, with the pointer as it is now. Not before the
  // first Take().
  void MovePointer(const Pointer* pointer);

  // Of the last of these calls.
  const MacroblockMap& changed() const { return changed_; }

  bool empty() const { return true_width_ == 0; }
  // The upright size of the frame; the coded size is rounded up to even. The
  // planes are replicated to whole macroblocks.
  int true_width() const { return true_width_; }
  int true_height() const { return true_height_; }
  int width() const { return (true_width_ + 1) & ~1; }
  int height() const { return (true_height_ + 1) & ~1; }
  // Bytes a row of either plane.
  int stride() const { return stride_; }
  const uint8_t* luma() const { return luma_.data(); }
  const uint8_t* chroma() const { return chroma_.data(); }  // U, V pairs.

 private:
  void Resize(int width, int height);
  // Converts the macroblocks [first, last) of a row into the scratch, then
  // keeps what differs.
  void ConvertRun(const FrameReader& reader, int row, int first, int last);
  void KeepIfChanged(int column, int row, int scratch_column);
  PointerLayer::Planes Planes();
  void LayPointer(const Pointer* pointer);

  const ColorKernel kernel_;
  int true_width_ = 0;
  int true_height_ = 0;
  int stride_ = 0;
  std::vector<uint8_t> luma_;
  std::vector<uint8_t> chroma_;
  MacroblockMap changed_;
  MacroblockMap damaged_;
  PointerLayer pointer_;

  // What the kept picture was taken from: other than that is all damaged.
  bool known_ = false;
  VideoFormat format_;
  Rect crop_;
  Transform transform_ = Transform::kNormal;

  // One row of macroblocks, and two rows of 4-byte pixels.
  std::vector<uint8_t> scratch_luma_;
  std::vector<uint8_t> scratch_chroma_;
  std::vector<uint8_t> scratch_rows_;
};

}  // namespace kine
