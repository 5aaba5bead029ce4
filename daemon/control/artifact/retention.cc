#include "daemon/control/artifact/retention.h"

#include <algorithm>
#include <optional>

namespace kine {
namespace {

absl::Time EndOf(const RecordingRecord& record) {
  return record.finished_at.value_or(record.created_at);
}

// All that grows with it.
uint64_t BytesOf(const RecordingRecord& record) {
  return record.bytes + record.cursor.bytes;
}

}  // namespace

std::vector<Expired> FindExpired(std::vector<const RecordingRecord*> records,
                                 const RetentionPolicy& policy,
                                 absl::Time now) {
  std::erase_if(records, [](const RecordingRecord* record) {
    return IsActive(record->state) || record->pinned;
  });
  std::sort(records.begin(), records.end(),
            [](const RecordingRecord* a, const RecordingRecord* b) {
              if (EndOf(*a) != EndOf(*b)) return EndOf(*a) < EndOf(*b);
              return a->id < b->id;
            });
  auto count = static_cast<int64_t>(records.size());
  uint64_t bytes = 0;
  for (const RecordingRecord* record : records) bytes += BytesOf(*record);
  std::vector<Expired> expired;
  for (const RecordingRecord* record : records) {
    std::optional<RetentionRule> why;
    if (policy.count > 0 && count > policy.count)
      why = RetentionRule::kCount;
    else if (policy.bytes > 0 && bytes > policy.bytes && count > 1)
      why = RetentionRule::kBytes;
    else if (policy.age > absl::ZeroDuration() &&
             now - EndOf(*record) > policy.age)
      why = RetentionRule::kAge;
    // Those behind it are younger, and bring no more.
    if (!why.has_value()) break;
    expired.push_back({record->id, *why});
    --count;
    bytes -= BytesOf(*record);
  }
  return expired;
}

}  // namespace kine
