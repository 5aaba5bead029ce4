#include "daemon/recorder/capture/capture.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "daemon/base/check.h"
#include "daemon/base/limits/recorders.h"
#include "daemon/recorder/capture/capture_tap.h"
#include "daemon/recorder/capture/encoding.h"
#include "daemon/recorder/capture/source_side.h"
#include "daemon/recorder/source_spec.h"

namespace kine {

Capture::Capture(const CaptureLoops& loops, CaptureFactories& factories,
                 const CaptureRequest& first,
                 absl::AnyInvocable<void(Capture& capture)> on_gone)
    : loops_(loops),
      factories_(factories),
      key_(first.key),
      on_gone_(std::move(on_gone)),
      source_side_(std::make_unique<SourceSide>(
          loops, *this, source_counters_, factories,
          ToSourceSpec(first.key, first.restore_token),
          first.encoding.config.fps_max)) {}

Capture::~Capture() = default;

bool Capture::Takes(const CaptureKey& key) const {
  return !ending_ && failed_.ok() && key == key_;
}

bool Capture::Shows(const SourceRequest& source) const {
  return !ending_ && failed_.ok() && source == key_.source;
}

Encoding* Capture::Find(const EncodingSettings& settings) const {
  const auto encoding = std::ranges::find_if(
      encodings_, [&](const auto& e) { return e->Takes(settings); });
  return encoding == encodings_.end() ? nullptr : encoding->get();
}

absl::Status Capture::MayJoin(const EncodingSettings& settings) const {
  if (Find(settings) != nullptr) return absl::OkStatus();
  const auto encoders = std::ranges::count_if(
      encodings_, [](const auto& e) { return !e->ending(); });
  if (encoders < limits::kEncodersPerSourceMax) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      "this source is encoded with ", limits::kEncodersPerSourceMax,
      " different picture settings already; give one of theirs (fps_max, "
      "profile, quality, bitrate, encoder, crop, cursor), or end a recording "
      "first"));
}

std::unique_ptr<CaptureTap> Capture::Join(const EncodingSettings& settings,
                                          CaptureSink& sink,
                                          uint64_t packet_bytes_max) {
  KINE_CHECK(!ending_);
  Encoding* encoding = Find(settings);
  if (encoding == nullptr) {
    encodings_.push_back(std::make_unique<Encoding>(
        loops_, *this, *source_side_, factories_, settings));
    encoding = encodings_.back().get();
  }
  auto tap = std::make_unique<CaptureTap>(*this, *encoding, sink);
  // In front of its first packet, and not inside this call.
  loops_.control.Post([told = tap.get()] { told->TellKnown(); });
  encoding->Join(*tap, packet_bytes_max, lost_.ok());
  return tap;
}

void Capture::Stop(Encoding& encoding, CaptureTap& tap) {
  if (!encoding.Leave(tap, lost_.ok())) return;
  const bool last = std::ranges::all_of(
      encodings_, [](const auto& e) { return e->ending(); });
  ending_ = last;
  loops_.source.Post([&source = *source_side_, &side = encoding.side(), last] {
    source.End(side, last);
  });
}

void Capture::TakePicture(FrameTaker taker) {
  loops_.source.Post(
      [&source = *source_side_, taker = std::move(taker)]() mutable {
        source.TakePicture(std::move(taker));
      });
}

void Capture::TellKnown(CaptureSink& sink) const {
  if (!failed_.ok()) return sink.OnSourceFailed(failed_);
  if (asks_for_consent_) sink.OnNeedsConsent();
  if (format_.has_value()) sink.OnFormat(format_->first, format_->second);
  if (cursor_.has_value()) sink.OnCursor({{*cursor_}, 0});
  if (!lost_.ok()) sink.OnLost(lost_, loops_.control.clock().Now());
}

template <typename Call>
void Capture::ForEachSink(Call call) {
  for (const auto& encoding : encodings_)
    for (CaptureTap* const tap : encoding->taps())
      if (tap->knows()) call(tap->sink());
}

void Capture::OnFormat(const VideoFormat& format,
                       const SourceDescription& description) {
  format_.emplace(format, description);
  asks_for_consent_ = false;
  lost_ = absl::OkStatus();
  ForEachSink([&](CaptureSink& sink) { sink.OnFormat(format, description); });
}

void Capture::OnCursor(CursorBatch batch) {
  source_side_->CursorTaken();
  if (lost_.ok() && !batch.states.empty()) cursor_ = batch.states.back();
  ForEachSink([&](CaptureSink& sink) { sink.OnCursor(batch); });
}

void Capture::OnImportRefused(const std::string& layout,
                              const std::string& next) {
  ForEachSink([&](CaptureSink& sink) { sink.OnImportRefused(layout, next); });
}

void Capture::OnNeverFinished(const std::string& layout) {
  ForEachSink([&](CaptureSink& sink) { sink.OnNeverFinished(layout); });
}

void Capture::OnLost(const absl::Status& reason, MonoTime when) {
  lost_ = reason;
  cursor_.reset();
  ForEachSink([&](CaptureSink& sink) { sink.OnLost(reason, when); });
}

void Capture::OnSourceFailed(const absl::Status& reason) {
  failed_ = reason;
  ForEachSink([&](CaptureSink& sink) { sink.OnSourceFailed(reason); });
}

void Capture::OnNeedsConsent() {
  asks_for_consent_ = true;
  ForEachSink([](CaptureSink& sink) { sink.OnNeedsConsent(); });
}

void Capture::OnRestoreToken(const std::string& token) {
  ForEachSink([&](CaptureSink& sink) { sink.OnRestoreToken(token); });
}

void Capture::OnSourceGone() {
  source_gone_ = true;
  RetireIfDone();
}

void Capture::OnEncodingGone(Encoding& encoding) {
  const auto at = std::ranges::find_if(
      encodings_, [&](const auto& e) { return e.get() == &encoding; });
  gone_.push_back(std::move(*at));
  encodings_.erase(at);
  RetireIfDone();
}

void Capture::RetireIfDone() {
  // The sinks of the capture's end wait for the source.
  if (ending_ && (!source_gone_ || !encodings_.empty())) return;
  for (const auto& encoding : std::exchange(gone_, {})) {
    for (CaptureTap* const tap : encoding->taps()) {
      tap->Close();
      tap->sink().OnRetired();
    }
  }
  if (!ending_) return;
  auto on_gone = std::move(on_gone_);
  on_gone(*this);  // Destroys this.
}

}  // namespace kine
