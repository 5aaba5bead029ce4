// Encoding: one encoder and its pump on a Capture, and the sinks that it feeds,
// as control sees them. All of them asked for the same picture settings.
//
// Control loop only; its half on the encode thread is EncodeSide, which calls
// the On...() below by posted tasks. Destroyed by its Capture when both are
// done with it: Capture::OnEncodingGone().
#pragma once

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "daemon/recorder/capture/capture_sink.h"
#include "daemon/recorder/capture/counts.h"
#include "encode/encode_pump_metrics.h"

namespace kine {

class Capture;
class CaptureTap;
class EncodeSide;
class SourceSide;

class Encoding {
 public:
  Encoding(const CaptureLoops& loops, Capture& capture, SourceSide& source,
           CaptureFactories& factories, const EncodingSettings& settings);
  ~Encoding();

  // Whether a sink that wants these can join.
  bool Takes(const EncodingSettings& settings) const;
  // The first makes pump and encoder.
  void Join(CaptureTap& tap, uint64_t packet_bytes_max, bool picture_known);
  // `tap` wants no more. True: it was the last, and the encoding ends; the
  // capture stops it. False: it leaves behind what was offered before.
  bool Leave(CaptureTap& tap, bool picture_known);
  bool ending() const { return ending_; }

  // For the encode thread, behind what was posted before.
  void Post(absl::AnyInvocable<void(EncodeSide& side)> task);
  EncodeSide& side() { return *side_; }
  PumpCounts pump_counts() const { return PumpCounts(metrics_); }
  // Those that have not left before the end.
  const std::vector<CaptureTap*>& taps() const { return taps_; }
  void TellKnown(CaptureSink& sink) const;

  // -- From EncodeSide --------------------------------------------------------

  void OnEncoder(const EncoderDescription& description,
                 const std::vector<EncoderRefusal>& refusals);
  void OnFallback(const EncodeFallback& fallback);
  void OnEncoderFailed(const absl::Status& reason);
  void OnLeft(CaptureTap& tap);
  void OnDrained();
  // Neither thread will post anything more.
  void OnThreadsDone();

 private:
  const CaptureLoops loops_;
  Capture& capture_;
  SourceSide& source_;
  const EncodingSettings settings_;
  std::vector<CaptureTap*> taps_;
  std::optional<std::pair<EncoderDescription, std::vector<EncoderRefusal>>>
      encoder_;
  std::vector<EncodeFallback> fallbacks_;  // Those that last.
  absl::Status failed_;
  bool ending_ = false;
  EncodePumpMetrics metrics_;
  std::unique_ptr<EncodeSide> side_;
};

}  // namespace kine
