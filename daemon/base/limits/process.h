// The limits of commands: the continuation of limits.h, which most of the tree
// includes and which therefore changes rarely.
//
// Documented for operators in README.md, "Limits".
#pragma once

#include <cstddef>
#include <cstdint>

#include "daemon/base/limits.h"

namespace kine::limits {

// -- Processes
// ----------------------------------------------------------------------------
// With a pidfd and two pipes each: 768 descriptors.
inline constexpr int kProcessesRunningMax = 256;
inline constexpr int kProcessesKnownMax = 1'024;  // With their records.
// Ends are kept so long, receipts (id, digest, exit) for a day.
inline constexpr int64_t kProcessKeptMs = 3'600'000;
inline constexpr int64_t kReceiptKeptMs = 24ll * 3'600'000;
inline constexpr int kReceiptsMax = 16'384;
// This daemon asks for so many descriptors: 4 for each that runs, one for the
// file of each known one's output, the connections, and as much again.
inline constexpr uint64_t kDescriptorsWanted = 8'192;
static_assert(2 * (4 * kProcessesRunningMax + kProcessesKnownMax +
                   kConnectionsMax) <
              kDescriptorsWanted);
inline constexpr size_t kProcessIdMax = 64;
inline constexpr size_t kCommandBytesMax = 32u << 10;
inline constexpr size_t kArgumentsMax = 1'024;
inline constexpr size_t kEnvironmentMax = 256;  // Of the request.
inline constexpr size_t kEnvironmentNameMax = 256;
inline constexpr size_t kEnvironmentValueMax = 32u << 10;
// The plan for kinescope-exec: a request's body, and this daemon's environment
// of at most 2 MiB (ARG_MAX) less room for both.
inline constexpr size_t kExecPlanBytesMax = 1u << 20;
inline constexpr size_t kRegexBytesMax = 1'024;
inline constexpr int kTerminalSideMax = 1'000;
inline constexpr int64_t kProcessGraceMs = 5'000;
inline constexpr int64_t kProcessGraceMaxMs = 60'000;
inline constexpr int64_t kProcessDeadlineMaxMs = 7ll * 24 * 3'600'000;
// From the spawn until the command's own program runs.
inline constexpr int64_t kExecMs = 10'000;
// Between two looks at what is left of a killed tree without a cgroup.
inline constexpr int64_t kTreeRetryMs = 20;
inline constexpr int kTreeRoundsMax = 100;
// How long the deletion of one that has ended waits for the rest of its tree.
inline constexpr int64_t kTreeOverMs = 1'000;
// Of /proc, at one look.
inline constexpr size_t kProcEntriesMax = 65'536;
inline constexpr int64_t kPortProbeMs = 100;
// At the daemon's end: a stop signal, this grace, then KILL.
inline constexpr int64_t kShutdownGraceMs = 3'000;
inline constexpr int64_t kProcessesShutdownMs = 8'000;
static_assert(kShutdownGraceMs < kProcessesShutdownMs &&
              kProcessesShutdownMs < kShutdownMs);
static_assert(kTreeRetryMs * kTreeRoundsMax <
              kProcessesShutdownMs - kShutdownGraceMs);

}  // namespace kine::limits
