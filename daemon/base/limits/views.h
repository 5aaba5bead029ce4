// The limits of views: a continuation of limits.h.
//
// Documented for operators in README.md, "Limits" and "Views".
#pragma once

#include <cstddef>
#include <cstdint>

namespace kine::limits {

// After so much stillness time runs so much faster: 30 s of reading a page
// become 8, an hour of nothing seven minutes and a half.
inline constexpr int64_t kCompactAfterDefaultMs = 5'000;
inline constexpr int64_t kCompactAfterMinMs = 500;
inline constexpr int kCompactSpeedDefault = 8;
inline constexpr int kCompactSpeedMin = 2;
inline constexpr int kCompactSpeedMax = 1'000;

// Heads of views, kept in memory: 14 B of index and at most 20 B of times a
// sample. 4 h at 30 fps are 6 to 15 MB, so that six of the longest default
// recordings fit; a larger head than that is refused.
inline constexpr uint64_t kViewsBytesMax = 96ull << 20;
inline constexpr uint64_t kViewHeadBytesMax = kViewsBytesMax;
inline constexpr size_t kViewsKept = 64;
inline constexpr int kViewsAtOnce = 2;       // As recoveries: they read disks.
inline constexpr size_t kViewsWaiting = 64;  // Requests for ones being built.
inline constexpr int64_t kViewMs = 10'000;   // One-shot.

}  // namespace kine::limits
