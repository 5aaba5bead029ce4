// What a Recording says of itself.
#include <algorithm>
#include <string>

#include "daemon/recorder/recording.h"

namespace kine {

using link::EndReason;

namespace {

link::Quantiles ToQuantiles(const Histogram& histogram) {
  link::Quantiles out;
  out.p50_us = absl::ToInt64Microseconds(histogram.Quantile(0.5));
  out.p99_us = absl::ToInt64Microseconds(histogram.Quantile(0.99));
  out.max_us = absl::ToInt64Microseconds(histogram.max());
  return out;
}

}  // namespace

void ReportFile(const FinaliseResult& file, link::Finished& out) {
  out.state = link::Finished::State::kReady;
  out.bytes = file.bytes;
  out.duration_us = TicksToMicros(file.duration_ticks);
  out.compact_us = TicksToMicros(file.compact_ticks);
  out.frames = file.samples;
  out.finalise.index = file.index_in_front ? link::Finished::Index::kFront
                                           : link::Finished::Index::kTail;
  out.finalise.micros = absl::ToInt64Microseconds(file.took);
  out.finalise.index_bytes = file.index_bytes;
  out.finalise.chapters = file.chapters;
  out.finalise.chapters_left_out = file.chapters_left_out;
}

bool Recording::CutsTheFile(EndReason reason) {
  switch (reason) {
    case EndReason::kMaxBytes:
    case EndReason::kDiskFull:
    case EndReason::kDiskFailed:
    case EndReason::kInternal:
      return true;
    default:
      return false;
  }
}

link::Finished Recording::Outcome(
    const absl::StatusOr<FinaliseResult>& result) const {
  link::Finished out;
  out.id = start_.id;
  out.reason = reason_;
  absl::Status why = why_;
  const absl::Status failure = result.ok() ? result->survived : result.status();
  const bool disk = !failure.ok() && !absl::IsNotFound(failure);
  const bool known =
      reason_ == EndReason::kDiskFull || reason_ == EndReason::kDiskFailed;
  if (disk && !known) {
    out.reason = absl::IsResourceExhausted(failure) ? EndReason::kDiskFull
                                                    : EndReason::kDiskFailed;
    why = failure;
  }
  if (result.ok()) {
    ReportFile(*result, out);
  } else {
    out.state = link::Finished::State::kFailed;
    // No frame, and nothing else to blame.
    if (!disk && !CutsTheFile(out.reason) && out.reason < EndReason::kNoFrame) {
      out.reason = EndReason::kNoFrame;
      if (why.ok()) why = failure;
    }
  }
  out.truncated = out.reason != EndReason::kStopped;
  out.message = std::string(why.message());
  out.counters = counters();
  out.cursor = cursor();
  if (first_.has_value()) {
    out.width = first_->width;
    out.height = first_->height;
    out.true_width = first_->true_width;
    out.true_height = first_->true_height;
  }
  return out;
}

int64_t Recording::MediaMicros() const {
  if (!first_.has_value()) return 0;
  const MonoTime until = ending() ? end_ : loop_.clock().Now();
  return std::max<int64_t>(0,
                           absl::ToInt64Microseconds(writer_.MediaTime(until)));
}

link::Counters Recording::counters() const {
  const CaptureCounts counts = feed_->counts();
  link::Counters out;
  out.captured = counts.captured;
  out.encoded = counts.encoded;
  out.skipped_undamaged = counts.skipped_undamaged;
  out.skipped_paused = counts.skipped_paused;
  out.repeated = counts.repeated;
  out.pointer = counts.pointer;
  out.lost_overload = counts.lost_overload;
  out.lost_in_source = counts.lost_in_source;
  out.lost_import = counts.lost_import;
  out.corrupted = counts.corrupted;
  out.bytes = writer_.bytes();
  out.durable_bytes = writer_.durable_bytes();
  out.durable_until_us = TicksToMicros(writer_.durable_ticks());
  out.media_us = MediaMicros();
  out.capture = ToQuantiles(capture_latency_);
  out.encode = ToQuantiles(encode_latency_);
  out.write = ToQuantiles(writer_.write_latency());
  out.total = ToQuantiles(writer_.total_latency());
  return out;
}

}  // namespace kine
