// Limits of the recorders that several recordings share.
//
// Documented for operators in README.md, "Limits".
#pragma once

#include <cstdint>

#include "daemon/base/limits.h"

namespace kine::limits {

// Of one source: each encodes the whole picture once more.
inline constexpr int kEncodersPerSourceMax = 3;
// Of one recorder, which takes no more recordings; one above gets another.
inline constexpr int kRecorderUsesMax = kRecordingsMax;

// Pictures of running captures that a recorder makes or waits for, and how long
// it waits for a frame where it has none: then the source is asked anew.
inline constexpr int kShotsAtOnce = 4;
inline constexpr int64_t kShotWaitMs = 100;

// Between two keyframes for those who join. A recording has no picture before
// its own, and what an agent does first counts; more of them would be at the
// expense of those who are there already.
inline constexpr int64_t kJoinKeyframeMs = 250;

// Besides kKeyframeMs: a keyframe of a screen on which little happens is worth
// hundreds of its other pictures. A text that changed twice a second made a
// recording grow by 195 MB an hour, three quarters of it keyframes; now 33.
// What a seek decodes stays what it is in full motion: kKeyframeMs at the
// default rate.
inline constexpr int kKeyframePictures =
    static_cast<int>(kKeyframeMs * kFpsDefault / 1'000);
inline constexpr int64_t kKeyframeSeldomMs = 60'000;

}  // namespace kine::limits
