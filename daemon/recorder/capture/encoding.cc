#include "daemon/recorder/capture/encoding.h"

#include <algorithm>

#include "daemon/base/check.h"
#include "daemon/recorder/capture/capture.h"
#include "daemon/recorder/capture/capture_tap.h"
#include "daemon/recorder/capture/encode_side.h"
#include "daemon/recorder/capture/source_side.h"

namespace kine {
namespace {

EncodePumpOptions PumpOptions(const EncodingSettings& settings) {
  EncodePumpOptions options;
  options.fps_max = settings.config.fps_max;
  options.queue_packets = settings.queue_packets;
  options.encoder = settings.choice;
  options.crop = settings.crop;
  options.draws_pointer = settings.draws_pointer;
  return options;
}

}  // namespace

Encoding::Encoding(const CaptureLoops& loops, Capture& capture,
                   SourceSide& source, CaptureFactories& factories,
                   const EncodingSettings& settings)
    : loops_(loops),
      capture_(capture),
      source_(source),
      settings_(settings),
      side_(std::make_unique<EncodeSide>(
          loops, *this, source, metrics_,
          [&factories, config = settings.config](EncoderChoice choice) {
            return factories.encoder(choice, config);
          },
          PumpOptions(settings))) {}

Encoding::~Encoding() = default;

void Encoding::Post(absl::AnyInvocable<void(EncodeSide& side)> task) {
  loops_.encode.Post(
      [&side = *side_, task = std::move(task)]() mutable { task(side); });
}

bool Encoding::Takes(const EncodingSettings& settings) const {
  return !ending_ && failed_.ok() && settings == settings_;
}

void Encoding::Join(CaptureTap& tap, uint64_t packet_bytes_max,
                    bool picture_known) {
  KINE_CHECK(!ending_);
  taps_.push_back(&tap);
  Post([&tap, packet_bytes_max, picture_known](EncodeSide& side) {
    side.Join(tap, packet_bytes_max, picture_known);
  });
}

bool Encoding::Leave(CaptureTap& tap, bool picture_known) {
  if (std::ranges::all_of(taps_, &CaptureTap::stopping)) {
    ending_ = true;
    return true;
  }
  loops_.source.Post([&source = source_, &side = *side_, &tap, picture_known] {
    source.Leave(side, tap, picture_known);
  });
  return false;
}

void Encoding::TellKnown(CaptureSink& sink) const {
  if (encoder_.has_value()) sink.OnEncoder(encoder_->first, encoder_->second);
  for (const EncodeFallback& fallback : fallbacks_) sink.OnFallback(fallback);
  if (!failed_.ok()) sink.OnEncoderFailed(failed_);
}

void Encoding::OnEncoder(const EncoderDescription& description,
                         const std::vector<EncoderRefusal>& refusals) {
  encoder_.emplace(description, refusals);
  for (CaptureTap* const tap : taps_)
    if (tap->knows()) tap->sink().OnEncoder(description, refusals);
}

void Encoding::OnFallback(const EncodeFallback& fallback) {
  std::erase_if(fallbacks_, [&](const EncodeFallback& known) {
    return known.what == fallback.what;
  });
  if (fallback.lasts) fallbacks_.push_back(fallback);
  for (CaptureTap* const tap : taps_)
    if (tap->knows()) tap->sink().OnFallback(fallback);
}

void Encoding::OnEncoderFailed(const absl::Status& reason) {
  failed_ = reason;
  for (CaptureTap* const tap : taps_)
    if (tap->knows()) tap->sink().OnEncoderFailed(reason);
}

void Encoding::OnLeft(CaptureTap& tap) {
  std::erase(taps_, &tap);
  tap.OnDrained();
  tap.Close();
  tap.sink().OnDrained();
  // Nothing else knows it any more.
  loops_.control.Post([&sink = tap.sink()] { sink.OnRetired(); });
}

void Encoding::OnDrained() {
  for (CaptureTap* const tap : taps_) {
    tap->OnDrained();
    tap->sink().OnDrained();
  }
}

void Encoding::OnThreadsDone() {
  // Credits posted before OnDrained() are still on their way to the encode
  // thread, and what the encoder said to the source: one more round trip,
  // behind them.
  loops_.encode.Post([this] {
    loops_.source.Post([this] {
      loops_.control.Post([this] { capture_.OnEncodingGone(*this); });
    });
  });
}

}  // namespace kine
