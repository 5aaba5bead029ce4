// Limits of /api/v0/desktop/recording, the mount for coder's clients. Where
// they are the original's, they are what its clients are used to.
#pragma once

#include <cstdint>

#include "daemon/base/limits.h"

namespace kine::limits {

// What fails within this fails the start.
inline constexpr int64_t kCompatStartWaitMs = 400;
// A start waits so long for the recording before, which is being ended.
inline constexpr int64_t kCompatEndWaitMs = 30'000;
inline constexpr int kCompatSpeed = 20;  // Of what is still.

static_assert(kCompatStartWaitMs < kCompatEndWaitMs);

}  // namespace kine::limits
