// Retention: which finished recordings go, the oldest first.
//
// A pure function; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "daemon/control/recording_record.h"

namespace kine {

// What is kept of those that have ended; 0: no bound. What is pinned or active
// neither counts nor goes.
struct RetentionPolicy {
  int64_t count = 0;
  // The newest stays, however large it is.
  uint64_t bytes = 0;  // Of their videos and cursor files.
  absl::Duration age = absl::ZeroDuration();  // From the end on.

  bool on() const {
    return count > 0 || bytes > 0 || age > absl::ZeroDuration();
  }
};

enum class RetentionRule { kCount, kBytes, kAge };
inline constexpr std::array<const char*, 3> kRetentionRules = {"count", "bytes",
                                                               "age"};
inline const char* RetentionRuleName(RetentionRule rule) {
  return kRetentionRules[static_cast<size_t>(rule)];
}

struct Expired {
  std::string id;
  RetentionRule why;
};
// The oldest first.
std::vector<Expired> FindExpired(std::vector<const RecordingRecord*> records,
                                 const RetentionPolicy& policy, absl::Time now);

}  // namespace kine
