// VAStatus -> absl::Status, in one place, so that what is above may decide by
// code: DEADLINE_EXCEEDED the driver did not answer in time; RESOURCE_EXHAUSTED
// its memory, or a coded buffer that was too small; UNIMPLEMENTED the driver
// cannot; UNAVAILABLE it failed or is busy; FAILED_PRECONDITION it refused what
// we asked (by the documentation our bug, by experience its).
//
// Pure; any thread.
#pragma once

#include <va/va.h>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace kine {

// OK for VA_STATUS_SUCCESS; else "`call`: <libva's text> (0x..)".
absl::Status VaError(VAStatus status, absl::string_view call);

// What a status was made from by VaError(), or VA_STATUS_SUCCESS.
VAStatus VaStatusOf(const absl::Status& status);

}  // namespace kine
