// Limits of the recorders that several recordings share.
//
// Documented for operators in README.md, "Limits".
#pragma once

#include "daemon/base/limits.h"

namespace kine::limits {

// Of one source: each encodes the whole picture once more.
inline constexpr int kEncodersPerSourceMax = 3;
// Of one recorder, which takes no more recordings; one above gets another.
inline constexpr int kRecorderUsesMax = kRecordingsMax;

}  // namespace kine::limits
