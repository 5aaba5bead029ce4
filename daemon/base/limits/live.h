// The limits of the live view: a continuation of limits.h.
//
// Documented for operators in README.md, "Live view".
#pragma once

#include <cstddef>
#include <cstdint>

#include "daemon/base/limits.h"

namespace kine::limits {

// While somebody watches: a fragment closes so soon after its first picture,
// and a still screen yields a picture so often, so that no player runs dry.
inline constexpr int64_t kLiveFragmentMs = 200;
inline constexpr int64_t kLiveStillMs = 500;
static_assert(kLiveFragmentMs < kFragmentMs);

// A reader starts at a keyframe that is at most so old; else it waits for the
// one that is asked for. What it starts behind, it stays behind.
inline constexpr int64_t kLiveJoinMs = 300;
// One that is so far behind goes on at the newest keyframe; is there none, one
// is asked for, every kKeyframeMs at most: slow readers must not fill the file.
inline constexpr int64_t kLiveLagMs = 2'000;
static_assert(kLiveLagMs > kLiveStillMs + kLiveFragmentMs);

// What is known of the newest fragments, for all readers together: 12 s, and at
// most 96 samples' 1.3 KiB of moof in each. A moof of the longest queue
// (kQueuePacketsMax / 2 samples) still fits a link message.
inline constexpr size_t kLiveFragments = 64;
inline constexpr size_t kLiveMoofBytesMax = 32u << 10;
static_assert(120 + 12 * kQueuePacketsMax / 2 <= kLiveMoofBytesMax);
static_assert(kLiveMoofBytesMax * 4 / 3 + 1'024 < kLinkMessageBytesMax);

// The blocks that a player reads in: Chromium's <video src> shows nothing of
// one that is not full.
inline constexpr uint64_t kLivePadBytesMax = 64u << 10;

}  // namespace kine::limits
