// VaConverter: the GPU's VideoProc: an imported dmabuf, cropped, to BT.709
// limited NV12 in a surface to encode from.
//
// The picture goes to the surface's top left corner; beyond it the surface is
// black. (The software path repeats the edge there. Here a second operation
// would be needed, and an operation may clear what lies outside of its region.)
//
// Encode thread only.
#pragma once

#include <va/va.h>

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "capture/frame.h"
#include "encode/va/va_handles.h"
#include "encode/va/va_import.h"

namespace kine {

class VaConverter {
 public:
  // For targets of width x height. UNIMPLEMENTED when the driver does not give
  // BT.709.
  static absl::StatusOr<std::unique_ptr<VaConverter>> Create(VADisplay display,
                                                             int width,
                                                             int height);

  // Whether Convert() gives the picture as it must look: not turned, and of
  // even size and place (4:2:0 has no half samples).
  static bool Fits(const Frame& frame);

  // Whether the driver takes the frame's memory.
  absl::Status Import(const Frame& frame) {
    return imports_.SurfaceOf(frame).status();
  }
  // Begins to convert what `frame` shows into `target`; done when `target` is,
  // and until then the frame's memory is read.
  absl::Status Convert(const Frame& frame, VASurfaceID target);
  // Import() would drop others that may still be read from.
  bool WouldDrop(const Frame& frame) const { return imports_.WouldDrop(frame); }

 private:
  explicit VaConverter(VADisplay display)
      : display_(display), imports_(display) {}
  absl::Status ChooseColors();
  VAProcPipelineParameterBuffer Parameters(const Frame& frame,
                                           VASurfaceID source) const;

  const VADisplay display_;
  VaConfig config_;
  VaContext context_;
  VaImports imports_;
  bool explicit_colors_ = false;
  bool takes_srgb_ = false;
};

// What a trial shows that the driver imports and converts: for each format its
// own layout, as it exports it, and LINEAR last. Empty when it converts
// nothing.
// DEADLINE_EXCEEDED when it does not answer: then it is of no use at all.
absl::StatusOr<std::vector<DmabufFormat>> TryImports(VADisplay display,
                                                     absl::Duration limit);

}  // namespace kine
