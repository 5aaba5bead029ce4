// The limits of cursor files: a continuation of limits.h.
//
// Documented for operators in README.md, "The pointer as data".
#pragma once

#include <cstddef>
#include <cstdint>

#include "daemon/base/limits.h"

namespace kine::limits {

// From the source thread to the recordings: together after so long, well
// within the file's 250 ms. A pointer at 1,000 reports a second fills a tenth
// of a batch; a batch that control has not taken waits with the next.
inline constexpr int64_t kCursorBatchMs = 50;
inline constexpr size_t kCursorBatchStatesMax = 512;
static_assert(kCursorBatchMs < kLogFlushMs);
// What came before the first picture is taken in, of which the newest counts:
// an encoder that opens for 4 s, at 60 reports a second.
inline constexpr size_t kCursorEarlyStatesMax = 256;

// cursor.ndjson: a move is 85 bytes, so a pointer that never rests, at 60
// reports a second, fills this in 7 h. Beside max_bytes, which counts the
// video.
inline constexpr uint64_t kCursorFileBytesMax = 128ull << 20;
// Shapes of a recording: a theme has some 80, a spinner 60 pictures. Each is
// 590 KB at most before it is compressed (kCursorSideMax).
inline constexpr size_t kCursorShapesMax = 256;
// Being written at once, 5 MB: the same worker does the video's odd jobs.
inline constexpr int kCursorShapesAtOnce = 8;
// The video's end waits so long for the cursor file's, which is one write and
// one sync.
inline constexpr int64_t kCursorCloseMs = 1'000;
static_assert(kCursorCloseMs < kShutdownMs);

// Other forms of a cursor file: 128 MiB of lines are read and written at 20
// MB/s, twice for `cap`.
inline constexpr int64_t kCursorFormMs = 30'000;
inline constexpr size_t kCursorFormsAtOnce = 2;
inline constexpr size_t kCursorFormsWaiting = 64;

}  // namespace kine::limits
