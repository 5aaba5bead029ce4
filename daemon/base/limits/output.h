// The limits of what commands write and read: the continuation of limits.h.
//
// Documented for operators in README.md, "Limits".
#pragma once

#include <cstddef>
#include <cstdint>

#include "daemon/base/limits.h"

namespace kine::limits {

inline constexpr uint64_t kOutputHeadBytes = 64ull << 10;
inline constexpr uint64_t kOutputTailBytes = 1ull << 20;
inline constexpr uint64_t kOutputSpoolBytes = 8ull << 20;
inline constexpr uint64_t kOutputHeadBytesMax = 16ull << 20;
inline constexpr uint64_t kOutputTailBytesMax = 16ull << 20;
inline constexpr uint64_t kOutputSpoolBytesMax = 1ull << 30;
inline constexpr size_t kOutputReadBytes = 256u << 10;  // A process and turn.
// A pipe holds at most 1 MiB (pipe-max-size) unless root made it larger.
inline constexpr size_t kOutputDrainBytes = 1u << 20;

// Of all commands. 256 floods squeezed to a block at both ends and one in the
// making are 256 * 2 * 3 * 64 KiB = 96 MiB.
inline constexpr uint64_t kOutputsMemoryBytes = 128ull << 20;
inline constexpr uint64_t kOutputsSpoolBytes = 512ull << 20;
// What must be free for one more: a block at both ends of both streams.
inline constexpr uint64_t kOutputAdmitBytes = 256ull << 10;
inline constexpr int64_t kOutputQuietMs = 100;  // After the exit: the end.
// A file that keeps a command waiting for so long gets no more of its output.
inline constexpr int64_t kSpoolSlowMs = 250;
inline constexpr uint64_t kOutputReplyBytes = 64ull << 10;  // max= if absent.
inline constexpr uint64_t kOutputReplyBytesMax = 1ull << 20;
// view=agent and the compatibility mount.
inline constexpr uint64_t kAgentHeadBytes = 16ull << 10;
inline constexpr uint64_t kAgentTailBytes = 16ull << 10;
inline constexpr size_t kAgentLineBytes = 2'048;
inline constexpr size_t kStdinBytesMax = 1u << 20;  // What waits to be read.
inline constexpr int64_t kStdinWaitMs = 30'000;
// Where a route takes bytes and no JSON: standard input.
inline constexpr size_t kOctetsBytesMax = 1u << 20;
static_assert(kOctetsBytesMax <= kStdinBytesMax);
static_assert(kStdinWaitMs < kWaitMaxMs);
static_assert(kOutputReplyBytes <= kOutputReplyBytesMax);

}  // namespace kine::limits
