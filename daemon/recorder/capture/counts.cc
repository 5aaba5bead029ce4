#include "daemon/recorder/capture/counts.h"

namespace kine {
namespace {

uint64_t Value(const Gauge& gauge) {
  return static_cast<uint64_t>(gauge.value());
}

}  // namespace

void SourceCounters::Set(const SourceStats& stats) {
  received.Set(static_cast<int64_t>(stats.received));
  lost_in_drain.Set(static_cast<int64_t>(stats.lost_in_drain));
  lost_in_source.Set(static_cast<int64_t>(stats.lost_in_source));
  corrupted.Set(static_cast<int64_t>(stats.corrupted));
  fence_timeouts.Set(static_cast<int64_t>(stats.fence_timeouts));
}

SourceCounts::SourceCounts(const SourceCounters& counters)
    : received(Value(counters.received)),
      lost_in_drain(Value(counters.lost_in_drain)),
      lost_in_source(Value(counters.lost_in_source)),
      corrupted(Value(counters.corrupted)),
      fence_timeouts(Value(counters.fence_timeouts)) {}

SourceCounts& SourceCounts::operator-=(const SourceCounts& other) {
  received -= other.received;
  lost_in_drain -= other.lost_in_drain;
  lost_in_source -= other.lost_in_source;
  corrupted -= other.corrupted;
  fence_timeouts -= other.fence_timeouts;
  return *this;
}

PumpCounts::PumpCounts(const EncodePumpMetrics& metrics)
    : encoded(metrics.frames_encoded.value()),
      skipped_undamaged(metrics.skipped_undamaged.value()),
      skipped_paused(metrics.skipped_paused.value()),
      repeated(metrics.repeated.value()),
      pointer(metrics.pointer_pictures.value()),
      lost(metrics.frames_lost.value()),
      imports_refused(metrics.imports_refused.value()) {}

PumpCounts& PumpCounts::operator-=(const PumpCounts& other) {
  encoded -= other.encoded;
  skipped_undamaged -= other.skipped_undamaged;
  skipped_paused -= other.skipped_paused;
  repeated -= other.repeated;
  pointer -= other.pointer;
  lost -= other.lost;
  imports_refused -= other.imports_refused;
  return *this;
}

PumpCounts& PumpCounts::operator+=(const PumpCounts& other) {
  encoded += other.encoded;
  skipped_undamaged += other.skipped_undamaged;
  skipped_paused += other.skipped_paused;
  repeated += other.repeated;
  pointer += other.pointer;
  lost += other.lost;
  imports_refused += other.imports_refused;
  return *this;
}

}  // namespace kine
