#include "daemon/recorder/capture/capture_tap.h"

#include <utility>

#include "daemon/base/check.h"
#include "daemon/recorder/capture/capture.h"
#include "daemon/recorder/capture/encode_side.h"
#include "daemon/recorder/capture/encoding.h"

namespace kine {

CaptureTap::CaptureTap(Capture& capture, Encoding& encoding, CaptureSink& sink)
    : capture_(capture),
      encoding_(encoding),
      sink_(sink),
      source_base_(capture.source_counts()),
      pump_base_(encoding.pump_counts()) {}

void CaptureTap::Stop() {
  KINE_CHECK(!stopping_);
  stopping_ = true;
  capture_.Stop(encoding_, *this);
}

void CaptureTap::ReturnCredits(int packets, uint64_t bytes,
                               uint64_t packet_bytes_max) {
  // Then the pump has it back already.
  if (drained_) return;
  encoding_.Post([this, packets, bytes, packet_bytes_max](EncodeSide& side) {
    side.ReturnCredits(*this, packets, bytes, packet_bytes_max);
  });
}

void CaptureTap::RequestKeyframe() {
  if (stopping_) return;
  encoding_.Post([](EncodeSide& side) { side.RequestKeyframe(); });
}

void CaptureTap::SetWatched(bool watched) {
  if (stopping_) return;
  encoding_.Post(
      [this, watched](EncodeSide& side) { side.SetWatched(*this, watched); });
}

bool CaptureTap::Pause() {
  if (!stopping_)
    encoding_.Post([this](EncodeSide& side) { side.Pause(*this); });
  return true;
}

void CaptureTap::Resume() {
  if (stopping_) return;
  encoding_.Post([this](EncodeSide& side) { side.Resume(*this); });
}

void CaptureTap::TellKnown() {
  knows_ = true;
  encoding_.TellKnown(sink_);
  capture_.TellKnown(sink_);
}

void CaptureTap::OnPaused(const PumpCounts& counts) { paused_at_ = counts; }

void CaptureTap::OnResumed(const PumpCounts& counts) {
  PumpCounts pause = counts;
  pause -= *std::exchange(paused_at_, std::nullopt);
  left_out_ += pause;
}

CaptureCounts CaptureTap::counts() const {
  if (final_.has_value()) return *final_;
  SourceCounts source = capture_.source_counts();
  source -= source_base_;
  const PumpCounts now = encoding_.pump_counts();
  PumpCounts left_out = left_out_;
  if (paused_at_.has_value()) {
    left_out += now;
    left_out -= *paused_at_;
  }
  PumpCounts pump = now;
  pump -= pump_base_;
  pump -= left_out;
  CaptureCounts out;
  out.captured = source.received;
  out.encoded = pump.encoded;
  out.skipped_undamaged = pump.skipped_undamaged;
  // Also what the others got meanwhile.
  out.skipped_paused = pump.skipped_paused + left_out.skipped_paused +
                       left_out.encoded + left_out.skipped_undamaged +
                       left_out.lost + left_out.imports_refused;
  out.repeated = pump.repeated;
  out.pointer = pump.pointer;
  out.lost_overload = source.lost_in_drain + pump.lost;
  out.lost_in_source = source.lost_in_source;
  out.lost_import = source.fence_timeouts + pump.imports_refused;
  out.corrupted = source.corrupted;
  return out;
}

}  // namespace kine
