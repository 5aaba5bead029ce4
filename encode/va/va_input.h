// VaInput: how a frame gets into a surface to encode from. Mapped memory goes
// through the kept Picture (converted and compared by the processor, changed
// macroblocks uploaded); a dmabuf is imported and converted by the GPU, where
// what changed is what the source says. What the GPU cannot turn right goes
// through the processor, if that can read it.
//
// For each frame: Take(), then Open() if the size is new, then Write(). The
// surfaces given to Open() must outlive it or the next Open() or Close().
//
// Encode thread only.
#pragma once

#include <va/va.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "capture/frame.h"
#include "encode/encoder.h"
#include "encode/picture/macroblock_map.h"
#include "encode/picture/picture.h"
#include "encode/va/va_converter.h"
#include "encode/va/va_upload.h"

namespace kine {

class VaInput {
 public:
  // `converts`: the driver has a VideoProc that gives our colours.
  // `writes_in_parts`: see VaUpload.
  VaInput(VADisplay display, bool converts, bool writes_in_parts)
      : display_(display),
        converts_(converts),
        writes_in_parts_(writes_in_parts) {}

  // Take() would let go of what may still be read from.
  bool WouldDrop(const Frame& frame) const;

  // Looks at the frame, with the pointer (null: none) over it: its size and
  // what of it changed. False when it cannot be read here. After an error the
  // next one is changed all over.
  absl::StatusOr<bool> Take(Frame& frame, const Pointer* pointer);
  // The last frame with the pointer as it is now: to be written as one that was
  // taken. False when it cannot be drawn into it.
  bool MovePointer(const Pointer* pointer);
  bool draws_pointer() const { return !by_gpu_; }

  // Of the last frame taken.
  const MacroblockMap& changed() const { return changed_; }
  int true_width() const { return true_width_; }
  int true_height() const { return true_height_; }
  int width() const { return (true_width_ + 1) & ~1; }
  int height() const { return (true_height_ + 1) & ~1; }
  bool empty() const { return true_width_ == 0; }

  // The surfaces for frames of this size, width x height with the padding.
  absl::Status Open(const std::vector<VASurfaceID>& surfaces, int width,
                    int height);
  bool open() const { return !surfaces_.empty(); }
  // Lets go of everything of the driver's; the next frame is changed all over.
  void Close();

  // Makes surface `index` show the frame that was taken. False when the driver
  // does not take its memory. `reads_later`: the frame must be kept until the
  // surface is done.
  absl::StatusOr<bool> Write(const Frame& frame, size_t index,
                             bool& reads_later);

 private:
  bool GpuTakes(const Frame& frame) const;
  void TakeByGpu(const Frame& frame);
  absl::Status TakeByProcessor(Frame& frame, const Pointer* pointer);
  void NotePicture();

  const VADisplay display_;
  const bool converts_;
  const bool writes_in_parts_;
  std::vector<VASurfaceID> surfaces_;

  bool by_gpu_ = false;
  int true_width_ = 0;
  int true_height_ = 0;
  MacroblockMap changed_;
  // By the processor.
  std::optional<Picture> picture_;
  std::unique_ptr<VaUpload> upload_;
  // By the GPU: what the last frame was; another one is changed all over.
  std::unique_ptr<VaConverter> converter_;
  bool known_ = false;
  VideoFormat format_;
  Rect crop_;
};

}  // namespace kine
