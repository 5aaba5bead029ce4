// VaSync: waits for the GPU, never without end: by the coded buffer where the
// driver can, else by the surface with a time limit, else (old drivers) by the
// surface without one; then only the process's watchdog ends a hang.
//
// Encode thread only.
#pragma once

#include <va/va.h>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace kine {

class VaSync {
 public:
  // Asks the driver which of its calls exist.
  VaSync(VADisplay display, absl::Duration limit);

  // Until the picture encoded from `input` is in `coded`. DEADLINE_EXCEEDED
  // when it takes longer than the limit.
  absl::Status Coded(VABufferID coded, VASurfaceID input) const;
  // Until no operation on `surface` is under way.
  absl::Status Surface(VASurfaceID surface) const;

 private:
  const VADisplay display_;
  const uint64_t limit_ns_;
  bool buffers_ = false;
  bool surfaces_with_limit_ = false;
};

}  // namespace kine
