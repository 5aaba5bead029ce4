// The limits of replays: the ring that is kept, and a recording of it.
//
// Documented for operators in README.md, "Replays".
#pragma once

#include <cstdint>

#include "daemon/base/limits.h"

namespace kine::limits {

// What --replay_seconds may be, and `seconds` of a request.
inline constexpr int kReplaySecondsMax = 600;
// Of --replay_bytes. A desktop at work is 2 to 8 Mbit/s: 64 MiB are a minute at
// least. All of it is the recorder's memory.
inline constexpr uint64_t kReplayBytesMin = 1ull << 20;
inline constexpr uint64_t kReplayBytesDefault = 64ull << 20;
inline constexpr uint64_t kReplayBytesMax = 256ull << 20;
// A ring that ended is started again after so long, doubling.
inline constexpr int64_t kReplayRetryMs = 1'000;
inline constexpr int64_t kReplayRetryMaxMs = 30'000;
// From the acknowledgement to the finished file: 256 MiB at 26 MB/s.
inline constexpr int64_t kReplaySaveMs = 10'000;
static_assert(kReplaySaveMs < kShutdownMs);

}  // namespace kine::limits
