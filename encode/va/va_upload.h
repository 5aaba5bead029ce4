// VaUpload: pictures of the processor's memory into the surfaces that are
// encoded from. Each surface knows which macroblocks it lacks, and only those
// are written: into the surface's own memory where the driver shows it
// (vaDeriveImage), else into an image beside it that the driver then copies.
//
// Encode thread only.
#pragma once

#include <va/va.h>

#include <cstddef>
#include <vector>

#include "absl/status/status.h"
#include "encode/picture/macroblock_map.h"
#include "encode/picture/picture.h"
#include "encode/va/va_handles.h"

namespace kine {

class VaUpload {
 public:
  // For surfaces as large as `picture` with its padding. `writes_in_parts`:
  // what is not written into derived memory keeps its value.
  VaUpload(VADisplay display, std::vector<VASurfaceID> surfaces,
           const Picture& picture, bool writes_in_parts);

  bool Fits(const Picture& picture) const {
    return picture.changed().columns() == everything_.columns() &&
           picture.changed().rows() == everything_.rows();
  }

  // Every surface lacks these from now on.
  void Changed(const MacroblockMap& changed);

  // Makes surface `index` show `picture`, whose changes were all told. No
  // operation may be under way on it. After an error it still lacks what it
  // lacked.
  absl::Status Write(size_t index, const Picture& picture);

 private:
  struct Slot {
    VASurfaceID surface = VA_INVALID_SURFACE;
    MacroblockMap lacks;
    VaImageHandle image;  // Beside the surface; made when it is needed.
  };

  absl::Status WriteDerived(Slot& slot, const Picture& picture);
  absl::Status WriteBeside(Slot& slot, const Picture& picture);
  absl::Status CopyInto(const VAImage& image, const MacroblockMap& blocks,
                        const Picture& picture);

  const VADisplay display_;
  const bool writes_in_parts_;
  MacroblockMap everything_;
  bool derives_ = true;  // Until it fails.
  std::vector<Slot> slots_;
};

}  // namespace kine
