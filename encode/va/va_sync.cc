#include "encode/va/va_sync.h"

#include "encode/va/va_status.h"

namespace kine {

VaSync::VaSync(VADisplay display, absl::Duration limit)
    : display_(display),
      limit_ns_(static_cast<uint64_t>(absl::ToInt64Nanoseconds(limit))) {
  // Anything but "unimplemented" means that the call exists.
  buffers_ =
      vaSyncBuffer(display, VA_INVALID_ID, 0) != VA_STATUS_ERROR_UNIMPLEMENTED;
  surfaces_with_limit_ = vaSyncSurface2(display, VA_INVALID_SURFACE, 0) !=
                         VA_STATUS_ERROR_UNIMPLEMENTED;
}

absl::Status VaSync::Coded(VABufferID coded, VASurfaceID input) const {
  if (!buffers_) return Surface(input);
  return VaError(vaSyncBuffer(display_, coded, limit_ns_), "vaSyncBuffer");
}

absl::Status VaSync::Surface(VASurfaceID surface) const {
  if (surfaces_with_limit_) {
    return VaError(vaSyncSurface2(display_, surface, limit_ns_),
                   "vaSyncSurface2");
  }
  return VaError(vaSyncSurface(display_, surface), "vaSyncSurface");
}

}  // namespace kine
