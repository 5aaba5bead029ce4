// dmabufs -> VA surfaces: descriptors for both of libva's import memory types,
// and a cache of what was imported.
//
// Encode thread only.
#pragma once

#include <sys/types.h>
#include <va/va.h>

#include <cstdint>
#include <optional>
#include <unordered_map>

#include "absl/status/statusor.h"
#include "capture/frame.h"
#include "encode/va/va_handles.h"

namespace kine {

// The VA_FOURCC_* whose bytes are those of a DRM_FORMAT_*; nothing for formats
// that VA drivers do not take.
std::optional<uint32_t> VaFourccOf(uint32_t drm_fourcc);

// A surface over the memory of the frame's dmabuf, whole and before its crop.
// UNIMPLEMENTED when the format is none of ours; else the driver's refusal. The
// driver keeps its own reference to the memory.
absl::StatusOr<VaSurface> ImportDmabuf(VADisplay display, const Frame& frame);

class VaImports {
 public:
  explicit VaImports(VADisplay display) : display_(display) {}

  // The surface of the frame's buffer: of the cache, or imported now. A new
  // format drops what was imported under the old one, other memory under a
  // known id that import. Valid until the next call. No operation may be under
  // way on any of them when the frame `WouldDrop` some.
  absl::StatusOr<VASurfaceID> SurfaceOf(const Frame& frame);
  bool WouldDrop(const Frame& frame) const;

 private:
  const VADisplay display_;
  VideoFormat format_;
  struct Import {
    ino_t inode = 0;  // Each dmabuf has its own.
    VaSurface surface;
  };
  std::unordered_map<uint64_t, Import> imports_;  // By Frame::buffer_id.
};

}  // namespace kine
