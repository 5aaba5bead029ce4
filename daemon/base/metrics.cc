#include "daemon/base/metrics.h"

#include <algorithm>
#include <bit>

namespace kine {

int Histogram::BucketOf(uint64_t micros) {
  constexpr uint64_t kSteps = 1u << kStepsLog2;
  micros = std::min<uint64_t>(micros, 0xffffffffu);
  if (micros < kSteps) return static_cast<int>(micros);
  const int shift = static_cast<int>(std::bit_width(micros)) - 1 - kStepsLog2;
  return static_cast<int>((static_cast<uint64_t>(shift + 1) << kStepsLog2) +
                          ((micros >> shift) - kSteps));
}

uint64_t Histogram::UpperEdge(int bucket) {
  constexpr uint64_t kSteps = 1u << kStepsLog2;
  const auto b = static_cast<uint64_t>(bucket);
  if (b < kSteps) return b;
  const uint64_t shift = (b >> kStepsLog2) - 1;
  return ((kSteps + (b & (kSteps - 1)) + 1) << shift) - 1;
}

void Histogram::Record(absl::Duration duration) {
  const auto micros = static_cast<uint64_t>(
      std::max<int64_t>(0, absl::ToInt64Microseconds(duration)));
  buckets_[static_cast<size_t>(BucketOf(micros))].fetch_add(
      1, std::memory_order_relaxed);
  count_.fetch_add(1, std::memory_order_relaxed);
  sum_micros_.fetch_add(micros, std::memory_order_relaxed);
  uint64_t seen = max_micros_.load(std::memory_order_relaxed);
  while (micros > seen && !max_micros_.compare_exchange_weak(
                              seen, micros, std::memory_order_relaxed)) {
  }
}

absl::Duration Histogram::sum() const {
  return absl::Microseconds(
      static_cast<int64_t>(sum_micros_.load(std::memory_order_relaxed)));
}

absl::Duration Histogram::max() const {
  return absl::Microseconds(
      static_cast<int64_t>(max_micros_.load(std::memory_order_relaxed)));
}

absl::Duration Histogram::Quantile(double q) const {
  const uint64_t total = count();
  if (total == 0) return absl::ZeroDuration();
  const auto rank = static_cast<uint64_t>(std::clamp(q, 0.0, 1.0) *
                                          static_cast<double>(total - 1));
  uint64_t seen = 0;
  for (int i = 0; i < kBuckets; ++i) {
    seen += buckets_[static_cast<size_t>(i)].load(std::memory_order_relaxed);
    if (seen > rank)
      return absl::Microseconds(static_cast<int64_t>(
          std::min(UpperEdge(i), max_micros_.load(std::memory_order_relaxed))));
  }
  return max();
}

}  // namespace kine
