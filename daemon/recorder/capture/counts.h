// What a source and a pump have counted, as plain values that can be
// subtracted: every sink counts from its own beginning.
#pragma once

#include <cstdint>

#include "capture/frame_source.h"
#include "daemon/base/metrics.h"
#include "encode/encode_pump_metrics.h"

namespace kine {

// The source's counters as of its last frame (and of its end), from any thread.
struct SourceCounters {
  Gauge received;
  Gauge lost_in_drain;
  Gauge lost_in_source;
  Gauge corrupted;
  Gauge fence_timeouts;

  void Set(const SourceStats& stats);
};

struct SourceCounts {
  SourceCounts() = default;
  explicit SourceCounts(const SourceCounters& counters);
  SourceCounts& operator-=(const SourceCounts& other);

  uint64_t received = 0;
  uint64_t lost_in_drain = 0;
  uint64_t lost_in_source = 0;
  uint64_t corrupted = 0;
  uint64_t fence_timeouts = 0;
};

struct PumpCounts {
  PumpCounts() = default;
  explicit PumpCounts(const EncodePumpMetrics& metrics);
  PumpCounts& operator-=(const PumpCounts& other);
  PumpCounts& operator+=(const PumpCounts& other);

  uint64_t encoded = 0;
  uint64_t skipped_undamaged = 0;
  uint64_t skipped_paused = 0;
  uint64_t repeated = 0;
  uint64_t pointer = 0;
  uint64_t lost = 0;
  uint64_t imports_refused = 0;
};

}  // namespace kine
