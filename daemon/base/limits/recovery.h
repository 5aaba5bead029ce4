// The limits of recovery: a continuation of limits.h.
#pragma once

#include <cstddef>

namespace kine::limits {

// Runs of the finaliser that ended without an answer, killed for memory or
// crashed, before the recording is left to the daemon's next start.
inline constexpr int kFinaliseTries = 2;
// In a report: there are fewer side files.
inline constexpr size_t kSideFilesDamagedMax = 8;

}  // namespace kine::limits
