// Limits of the pictures that are made on request.
#pragma once

#include <cstddef>
#include <cstdint>

#include "daemon/base/limits.h"

namespace kine::limits {

// Processes that decode, and requests that wait for one. A picture takes up to
// kFramesMs, so the last in line waits 16 / 2 * 2 s.
inline constexpr size_t kPicturesAtOnce = 2;
inline constexpr size_t kPicturesWaiting = 16;
// The process ends itself before; this is for one that cannot.
inline constexpr int64_t kPictureMs = kFramesMs + 1'000;
// A larger one is none.
inline constexpr size_t kThumbnailBytesMax = 10u << 20;
inline constexpr int kThumbnailQuality = 85;

// A screenshot by the recorder that captures the source, a slow one's too;
// beyond, it is taken as if there were none.
inline constexpr int64_t kShotMs = 1'000;

// A screenshot: until the source shows something, and all of it.
inline constexpr size_t kScreenshotsAtOnce = 4;
inline constexpr int64_t kScreenshotMs = 3'000;
inline constexpr int64_t kScreenshotRunMs = kScreenshotMs + 2'000;

static_assert(kPicturesWaiting / kPicturesAtOnce * kPictureMs < kWaitMaxMs);

}  // namespace kine::limits
