// Limits of kinectl doctor and of the recorder's self-test.
#pragma once

#include <cstddef>
#include <cstdint>

#include "daemon/base/limits.h"

namespace kine::limits {

// One second of a small moving picture: a GPU that cannot do that in real time
// is of no use, and a slow machine encodes it in software in two.
inline constexpr int kSelfTestWidth = 640;
inline constexpr int kSelfTestHeight = 360;
inline constexpr int kSelfTestFrames = 30;

// A device: two opens of at most a few syncs (kVaSyncMs), 30 pictures of which
// one may time out, and the decoder (kFramesMs).
inline constexpr int64_t kSelfTestDeviceMs = 20'000;
static_assert(kSelfTestDeviceMs > 6 * kVaSyncMs + kFramesMs);
// GPUs of one machine that are tested; more are named and left out.
inline constexpr size_t kSelfTestNodesMax = 8;
// All of them, one after the other, with software, and some room.
inline constexpr int64_t kSelfTestMs =
    (static_cast<int64_t>(kSelfTestNodesMax) + 1) * kSelfTestDeviceMs + 10'000;
// A device's report is 3 KiB.
inline constexpr size_t kSelfTestBytesMax = 64u << 10;

// Decibels. What the default quality gives is above 40; a picture that is
// shifted by one pixel, late by one frame or wrong in its colours is below 25.
inline constexpr double kSelfTestLumaPsnr = 32;
inline constexpr double kSelfTestChromaPsnr = 30;

// A file of a minute at the default quality of a busy screen, twice.
inline constexpr uint64_t kFreeSpaceWarnBytes = 1ull << 30;
// The PipeWire server is asked for its socket only.
inline constexpr int64_t kDoctorConnectMs = 2'000;

}  // namespace kine::limits
