// The limits of what happens in a recording and of what is kept of it: a
// continuation of limits.h.
//
// Documented for operators in README.md, "Limits".
#pragma once

#include <cstddef>
#include <cstdint>

namespace kine::limits {

// An action every three seconds for more than three hours. Kept in memory while
// the recording runs: 4,096 * (256 + 8 * 320) B are 11 MiB at the worst, less
// than 1 MiB as they are used.
inline constexpr size_t kMarkersMax = 4'096;
inline constexpr size_t kMarkerLabelMax = 256;
inline constexpr size_t kMarkerAttributesMax = 8;
inline constexpr size_t kMarkerKeyMax = 64;  // Idempotency-Key.
inline constexpr size_t kCommandChaptersMax = 4'096;
inline constexpr size_t kPausesMax = 4'096;
inline constexpr size_t kGapsShownMax = 4'096;
// Of the room for the index, in front of the video: some 200 chapters.
inline constexpr uint64_t kReserveChapterBytes = 16u << 10;
// Of a command's text, in a chapter's title.
inline constexpr size_t kCommandTitleMax = 80;
// A stop waits so long for the lines of the log that the chapters come from.
inline constexpr int64_t kLogBeforeStopMs = 250;

// -- Activity
// A recording ends when nothing has happened for so long.
inline constexpr int64_t kIdleStopDefaultMs = 10 * 60'000;
// What an agent does shows for so long: its pictures count as activity.
inline constexpr int64_t kAgentActiveMs = 1'000;
// The recorder is told at most so often.
inline constexpr int64_t kActivityTellMs = 500;
static_assert(kActivityTellMs < kAgentActiveMs);

// -- Retention: what is kept of recordings that have ended.
inline constexpr int64_t kKeepCountDefault = 100;
inline constexpr uint64_t kKeepBytesDefault = 10ull << 30;
inline constexpr int64_t kKeepAgeDefaultMs = 7ll * 24 * 3'600'000;
inline constexpr int64_t kRetentionMs = 60'000;  // Between two looks.

}  // namespace kine::limits
