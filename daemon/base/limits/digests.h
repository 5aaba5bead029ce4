// The limits of digests: a continuation of limits.h.
//
// Documented for operators in README.md, "Limits".
#pragma once

#include <cstddef>
#include <cstdint>

namespace kine::limits {

inline constexpr size_t kDigestsWaiting = 64;  // Requests.
inline constexpr size_t kDigestFileBytesMax = 4096;
// At idle priority a busy machine gives little: a minute, and what 5 MB/s take,
// a hundredth of what one processor can do.
inline constexpr int64_t kDigestMs = 60'000;
inline constexpr uint64_t kDigestBytesPerMs = 5'000;

}  // namespace kine::limits
