// Counters, gauges and latency histograms, always on. A time stamp costs 27 ns
// and a Record() a few more, so nothing here is switched off in production.
//
// Threads: Add/Set/Record from any thread (relaxed atomics); reading gives a
// moment's value, not a consistent cut.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "absl/time/time.h"

namespace kine {

class Counter {
 public:
  void Add(uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

class Gauge {
 public:
  void Set(int64_t v) { value_.store(v, std::memory_order_relaxed); }
  void Add(int64_t n) { value_.fetch_add(n, std::memory_order_relaxed); }
  int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

// A log-linear histogram of durations: 16 steps per power of two, so a quantile
// is at most 6.25 % too high; from 1 us to 73 min in 4 KiB.
class Histogram {
 public:
  void Record(absl::Duration duration);

  uint64_t count() const { return count_.load(std::memory_order_relaxed); }
  absl::Duration sum() const;
  absl::Duration max() const;
  // The upper edge of the bucket in which the q-quantile (0..1) lies; zero when
  // nothing was recorded.
  absl::Duration Quantile(double q) const;

 private:
  static constexpr int kStepsLog2 = 4;
  static constexpr int kBuckets = (32 - kStepsLog2 + 1) << kStepsLog2;
  static int BucketOf(uint64_t micros);
  static uint64_t UpperEdge(int bucket);

  std::array<std::atomic<uint64_t>, kBuckets> buckets_{};
  std::atomic<uint64_t> count_{0};
  std::atomic<uint64_t> sum_micros_{0};
  std::atomic<uint64_t> max_micros_{0};
};

}  // namespace kine
