#include "daemon/recorder/capture/encode_side.h"

#include <algorithm>
#include <utility>

#include "daemon/base/check.h"
#include "daemon/recorder/capture/capture_tap.h"
#include "daemon/recorder/capture/encoding.h"
#include "daemon/recorder/capture/source_side.h"

namespace kine {

EncodeSide::EncodeSide(const CaptureLoops& loops, Encoding& encoding,
                       SourceSide& source, EncodePumpMetrics& metrics,
                       EncodePump::EncoderFactory factory,
                       const EncodePumpOptions& options)
    : loops_(loops),
      encoding_(encoding),
      source_(source),
      metrics_(metrics),
      factory_(std::move(factory)),
      options_(options) {}

EncodeSide::~EncodeSide() = default;

void EncodeSide::Start() {
  EncodePump::Client& client = *this;  // A private base.
  pump_ = std::make_unique<EncodePump>(loops_.encode, client, metrics_,
                                       std::move(factory_), options_);
  pump_->Start();
}

EncodeSide::Outlet* EncodeSide::Find(const CaptureTap& tap) {
  const auto outlet = std::ranges::find(outlets_, &tap, &Outlet::tap);
  return outlet == outlets_.end() ? nullptr : &*outlet;
}

void EncodeSide::Join(CaptureTap& tap, uint64_t packet_bytes_max, bool ask) {
  if (pump_ == nullptr) Start();
  outlets_.push_back({&tap, packet_bytes_max});
  credit_.Join(&tap);
  Settle();
  if (ask) pump_->RequestKeyframe();
}

void EncodeSide::Leave(CaptureTap& tap, bool picture_known) {
  const Outlet* const outlet = Find(tap);
  KINE_CHECK(outlet != nullptr);
  // Else it would end without a picture, although there is one.
  if (!outlet->begun && picture_known) pump_->RequestKeyframeNow();
  pump_->CatchUp([this, &tap] { Detach(tap); });
}

void EncodeSide::Detach(CaptureTap& tap) {
  std::erase_if(outlets_, [&](const Outlet& o) { return o.tap == &tap; });
  credit_.Leave(&tap);
  ReturnFreed();
  Settle();
  loops_.control.Post([&encoding = encoding_, &tap] { encoding.OnLeft(tap); });
}

void EncodeSide::Stop() { pump_->Stop(); }

void EncodeSide::ReturnCredits(CaptureTap& tap, int packets, uint64_t bytes,
                               uint64_t packet_bytes_max) {
  Outlet* const outlet = Find(tap);
  if (outlet == nullptr) return;
  outlet->packet_bytes_max = packet_bytes_max;
  Settle();
  credit_.Return(&tap, packets, bytes);
  ReturnFreed();
}

void EncodeSide::ReturnFreed() {
  const SharedCredit::Amount freed = credit_.TakeFreed();
  if (freed != SharedCredit::Amount())
    pump_->ReturnCredits(freed.packets, freed.bytes);
}

void EncodeSide::SetWatched(CaptureTap& tap, bool watched) {
  Outlet* const outlet = Find(tap);
  if (outlet == nullptr) return;
  outlet->watched = watched;
  Settle();
}

void EncodeSide::Pause(CaptureTap& tap) {
  Outlet* const outlet = Find(tap);
  if (outlet == nullptr || std::exchange(outlet->paused, true)) return;
  Settle();
  loops_.control.Post(
      [&tap, counts = PumpCounts(metrics_)] { tap.OnPaused(counts); });
}

void EncodeSide::Resume(CaptureTap& tap) {
  Outlet* const outlet = Find(tap);
  if (outlet == nullptr || !std::exchange(outlet->paused, false)) return;
  Settle();
  pump_->RequestKeyframeNow();
  loops_.control.Post(
      [&tap, counts = PumpCounts(metrics_)] { tap.OnResumed(counts); });
}

void EncodeSide::RequestKeyframe() {
  if (pump_ != nullptr) pump_->RequestKeyframe();
}

void EncodeSide::Settle() {
  bool watched = false;
  bool all_paused = !outlets_.empty();
  // One encoder makes one packet for all: it has to fit into every file, so the
  // fullest one decides. A coarser picture is the price of sharing near the end
  // of a file, and a quarter of a second of it.
  uint64_t packet_bytes_max = 0;
  for (const Outlet& outlet : outlets_) {
    watched = watched || outlet.watched;
    all_paused = all_paused && outlet.paused;
    if (outlet.packet_bytes_max != 0 &&
        (packet_bytes_max == 0 || outlet.packet_bytes_max < packet_bytes_max))
      packet_bytes_max = outlet.packet_bytes_max;
  }
  pump_->SetPacketBytesMax(packet_bytes_max);
  pump_->SetWatched(watched);
  if (std::exchange(pump_paused_, all_paused) == all_paused) return;
  if (all_paused) {
    pump_->Pause();
  } else {
    pump_->Resume();
  }
}

void EncodeSide::OnEncoderReady(const EncoderDescription& description,
                                const std::vector<EncoderRefusal>& refusals) {
  loops_.control.Post([&encoding = encoding_, description, refusals] {
    encoding.OnEncoder(description, refusals);
  });
  loops_.source.Post([&source = source_, this, &pump = *pump_,
                      fps_max = options_.fps_max,
                      imports = description.imports] {
    source.OnEncoder(*this, pump, fps_max, imports);
  });
}

void EncodeSide::OnFallback(EncodeFallback fallback) {
  loops_.control.Post([&encoding = encoding_, fallback = std::move(fallback)] {
    encoding.OnFallback(fallback);
  });
}

void EncodeSide::OnCannotImport(const VideoFormat& format) {
  loops_.source.Post(
      [&source = source_, format] { source.OnCannotImport(format); });
}

void EncodeSide::OnPacket(Packet packet) {
  const uint64_t bytes = packet.data.size();
  const auto shared = std::make_shared<const Packet>(std::move(packet));
  bool asks = false;
  credit_.Count(bytes);
  for (Outlet& outlet : outlets_) {
    // A pump that is paused itself still gives what it took before, which is
    // everybody's.
    if (outlet.paused && !pump_paused_) {
      outlet.waiting = true;
      continue;
    }
    if (outlet.waiting && !shared->keyframe) {
      asks = asks || !outlet.paused;
      continue;
    }
    outlet.begun = true;
    outlet.waiting = false;
    credit_.Hand(outlet.tap, bytes);
    loops_.control.Post(
        [tap = outlet.tap, shared] { tap->sink().OnPacket(shared); });
  }
  ReturnFreed();
  if (asks) pump_->RequestKeyframe();
}

void EncodeSide::OnFailed(absl::Status reason) {
  loops_.control.Post([&encoding = encoding_, reason = std::move(reason)] {
    encoding.OnEncoderFailed(reason);
  });
  loops_.source.Post([&source = source_, this, &pump = *pump_] {
    source.OnNoEncoder(*this, pump);
  });
}

void EncodeSide::OnDrained() {
  outlets_.clear();
  // SourceSide offers nothing more since before Stop().
  pump_.reset();
  loops_.control.Post([&encoding = encoding_] { encoding.OnDrained(); });
  // Behind all that was said to the source before.
  loops_.source.Post([&source = source_, this, &encoding = encoding_] {
    source.OnEncodeSideGone(*this, encoding);
  });
}

}  // namespace kine
