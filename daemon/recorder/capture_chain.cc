#include "daemon/recorder/capture_chain.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "capture/pixel_format.h"
#include "daemon/base/check.h"

namespace kine {

// The encode thread's half. Made and destroyed by the chain on control, when
// nothing runs on encode for it; everything else on the encode loop.
class CaptureChain::EncodeSide final : public EncodePump::Client {
 public:
  EncodeSide(CaptureChain& chain, Loops loops, CaptureChain::Client& client,
             EncodePumpMetrics& metrics, EncodePump::EncoderFactory factory,
             const Options& options)
      : chain_(chain),
        loops_(loops),
        client_(client),
        metrics_(metrics),
        factory_(std::move(factory)),
        options_(options.pump),
        packet_bytes_max_(options.packet_bytes_max) {}

  void Start() {
    pump_ = std::make_unique<EncodePump>(loops_.encode, *this, metrics_,
                                         std::move(factory_), options_);
    pump_->SetPacketBytesMax(packet_bytes_max_);
    pump_->Start();
  }

  void Stop() { pump_->Stop(); }

  void ReturnCredits(int packets, uint64_t bytes, uint64_t packet_bytes_max) {
    if (pump_ == nullptr) return;
    pump_->SetPacketBytesMax(packet_bytes_max);
    pump_->ReturnCredits(packets, bytes);
  }

  void RequestKeyframe() {
    if (pump_ != nullptr && !drained_) pump_->RequestKeyframe();
  }

  void SetWatched(bool watched) {
    if (pump_ != nullptr && !drained_) pump_->SetWatched(watched);
  }

  void Pause() {
    if (pump_ != nullptr && !drained_) pump_->Pause();
  }

  void Resume() {
    if (pump_ != nullptr && !drained_) pump_->Resume();
  }

  // Posted by the source's half as its last act: no Offer() can follow.
  void OnSourceGone() {
    source_gone_ = true;
    RetireIfDone();
  }

 private:
  void OnEncoderReady(const EncoderDescription& description,
                      const std::vector<EncoderRefusal>& refusals) override {
    loops_.control.Post([&client = client_, description, refusals] {
      client.OnEncoder(description, refusals);
    });
    chain_.TellSource(*pump_, description.imports);
  }

  void OnCannotImport(const VideoFormat& format) override {
    chain_.TellSourceRefused(format);
  }

  void OnEncoderStep(EncoderStep step) override {
    loops_.control.Post([&client = client_, step = std::move(step)]() mutable {
      client.OnEncoderStep(std::move(step));
    });
  }

  void OnPacket(Packet packet) override {
    loops_.control.Post(
        [&client = client_, packet = std::move(packet)]() mutable {
          client.OnPacket(std::move(packet));
        });
  }

  void OnFailed(absl::Status reason) override {
    loops_.control.Post([&client = client_, reason = std::move(reason)] {
      client.OnEncoderFailed(reason);
    });
    chain_.TellSourceNoEncoder(*pump_);
  }

  void OnDrained() override {
    drained_ = true;
    loops_.control.Post([&client = client_] { client.OnDrained(); });
    RetireIfDone();
  }

  void RetireIfDone() {
    if (!drained_ || !source_gone_) return;
    pump_.reset();
    loops_.control.Post([&chain = chain_] { chain.OnThreadsDone(); });
  }

  CaptureChain& chain_;
  const Loops loops_;
  CaptureChain::Client& client_;
  EncodePumpMetrics& metrics_;
  EncodePump::EncoderFactory factory_;
  const EncodePumpOptions options_;
  const uint64_t packet_bytes_max_;
  std::unique_ptr<EncodePump> pump_;
  bool drained_ = false;
  bool source_gone_ = false;
};

// The source thread's half, likewise.
class CaptureChain::SourceSide final : public FrameSource::Client {
 public:
  SourceSide(Loops loops, CaptureChain::Client& client,
             SourceCounters& counters, EncodeSide& encode_side,
             SourceFactory factory, SourceSpec spec, double fps_max)
      : loops_(loops),
        client_(client),
        counters_(counters),
        encode_side_(encode_side),
        factory_(std::move(factory)) {
    options_.spec = std::move(spec);
    options_.fps_max = fps_max;
    options_.on_needs_consent = [this] {
      loops_.control.Post([&client = client_] { client.OnNeedsConsent(); });
    };
    options_.on_restore_token = [this](std::string token) {
      loops_.control.Post([&client = client_, token = std::move(token)] {
        client.OnRestoreToken(token);
      });
    };
  }

  // There is an encoder, the first or another one.
  void OnEncoder(EncodePump& pump, std::vector<DmabufFormat> imports) {
    imports_ = std::move(imports);
    if (memory_only_) imports_.clear();
    for (const auto& [fourcc, modifier] : refused_) Remove(fourcc, modifier);
    if (source_ != nullptr) return source_->SetImports(imports_);
    if (std::exchange(pump_, &pump) != nullptr) return;
    if (stopping_) return End();
    absl::StatusOr<std::unique_ptr<FrameSource>> source =
        factory_(std::move(options_), loops_.source);
    if (!source.ok()) return OnFailed(source.status());
    source_ = *std::move(source);
    source_->SetImports(imports_);
    source_->Start(*this);
  }

  // There is none, and without it no source is started.
  void OnNoEncoder(EncodePump& pump) {
    if (std::exchange(pump_, &pump) == nullptr && stopping_) End();
  }

  // Frames of a layout that was refused already may still be on their way.
  void OnCannotImport(const VideoFormat& format) {
    if (source_ == nullptr || !Remove(format.fourcc, format.modifier)) return;
    refused_.emplace_back(format.fourcc, format.modifier);
    source_->SetImports(imports_);
    const auto same =
        std::ranges::find(imports_, format.fourcc, &DmabufFormat::fourcc);
    std::string next = "shared memory";
    if (same != imports_.end()) {
      next = LayoutName(same->fourcc, same->modifiers.front());
    } else if (!imports_.empty()) {
      next = LayoutName(imports_[0].fourcc, imports_[0].modifiers.front());
    }
    loops_.control.Post([&client = client_, next = std::move(next),
                         layout = LayoutName(format.fourcc, format.modifier)] {
      client.OnImportRefused(layout, next);
    });
  }

  void Stop() {
    KINE_CHECK(!stopping_);
    stopping_ = true;
    if (pump_ != nullptr) End();  // Else OnEncoder() is still to come.
  }

 private:
  static std::string LayoutName(uint32_t fourcc, uint64_t modifier) {
    return absl::StrCat(PixelFormatName(fourcc), " ", ModifierName(modifier));
  }

  // False when it is not among the imports.
  bool Remove(uint32_t fourcc, uint64_t modifier) {
    const auto format =
        std::ranges::find(imports_, fourcc, &DmabufFormat::fourcc);
    if (format == imports_.end() ||
        std::erase(format->modifiers, modifier) == 0)
      return false;
    if (format->modifiers.empty()) imports_.erase(format);
    return true;
  }

  void End() {
    if (source_ != nullptr) source_->Stop();
    // Behind the last frame that was offered before.
    loops_.encode.Post([&side = encode_side_] { side.Stop(); });
    if (source_ == nullptr) OnStopped();
  }

  void OnFormat(const VideoFormat& format,
                const SourceDescription& description) override {
    loops_.control.Post([&client = client_, format, description] {
      client.OnFormat(format, description);
    });
  }

  void OnFrame(Frame frame) override {
    CopyCounters();
    pump_->Offer(std::move(frame));
  }

  void OnNeverFinished(const VideoFormat& format) override {
    if (std::exchange(memory_only_, true)) return;
    imports_.clear();
    source_->SetImports({});
    loops_.control.Post([&client = client_,
                         layout = LayoutName(format.fourcc, format.modifier)] {
      client.OnNeverFinished(layout);
    });
  }

  // The pointer is in the picture, or in no file of this version.
  void OnCursor(const CursorUpdate&) override {}

  void OnLost(absl::Status reason) override {
    loops_.control.Post(
        [&client = client_, reason = std::move(reason),
         when = loops_.source.clock().Now()] { client.OnLost(reason, when); });
  }

  void OnFailed(absl::Status reason) override {
    loops_.control.Post([&client = client_, reason = std::move(reason)] {
      client.OnSourceFailed(reason);
    });
  }

  // Destroys the source in a task of its own, not under its feet.
  void OnStopped() override {
    loops_.source.Post([this] {
      CopyCounters();
      source_.reset();
      loops_.encode.Post([&side = encode_side_] { side.OnSourceGone(); });
    });
  }

  void CopyCounters() {
    if (source_ == nullptr) return;
    const SourceStats stats = source_->stats();
    counters_.received.Set(static_cast<int64_t>(stats.received));
    counters_.lost_in_drain.Set(static_cast<int64_t>(stats.lost_in_drain));
    counters_.lost_in_source.Set(static_cast<int64_t>(stats.lost_in_source));
    counters_.corrupted.Set(static_cast<int64_t>(stats.corrupted));
    counters_.fence_timeouts.Set(static_cast<int64_t>(stats.fence_timeouts));
  }

  const Loops loops_;
  CaptureChain::Client& client_;
  SourceCounters& counters_;
  EncodeSide& encode_side_;
  SourceFactory factory_;
  SourceOptions options_;
  EncodePump* pump_ = nullptr;
  // What the encoder takes, without what it refused when it came.
  std::vector<DmabufFormat> imports_;
  std::vector<std::pair<uint32_t, uint64_t>> refused_;
  bool memory_only_ = false;  // Its dmabufs are never finished.
  std::unique_ptr<FrameSource> source_;
  bool stopping_ = false;
};

CaptureChain::CaptureChain(Loops loops, Client& client,
                           SourceFactory source_factory,
                           EncodePump::EncoderFactory encoder_factory,
                           Options options)
    : loops_(loops),
      client_(client),
      encode_side_(
          std::make_unique<EncodeSide>(*this, loops, client, pump_metrics_,
                                       std::move(encoder_factory), options)),
      source_side_(std::make_unique<SourceSide>(
          loops, client, source_counters_, *encode_side_,
          std::move(source_factory), std::move(options.source),
          options.pump.fps_max)) {}

CaptureChain::~CaptureChain() = default;

void CaptureChain::Start() {
  loops_.encode.Post([side = encode_side_.get()] { side->Start(); });
}

void CaptureChain::TellSource(EncodePump& pump,
                              std::vector<DmabufFormat> imports) {
  loops_.source.Post(
      [side = source_side_.get(), &pump, imports = std::move(imports)] {
        side->OnEncoder(pump, imports);
      });
}

void CaptureChain::TellSourceNoEncoder(EncodePump& pump) {
  loops_.source.Post(
      [side = source_side_.get(), &pump] { side->OnNoEncoder(pump); });
}

void CaptureChain::TellSourceRefused(const VideoFormat& format) {
  loops_.source.Post(
      [side = source_side_.get(), format] { side->OnCannotImport(format); });
}

void CaptureChain::Stop() {
  loops_.source.Post([side = source_side_.get()] { side->Stop(); });
}

void CaptureChain::ReturnCredits(int packets, uint64_t bytes,
                                 uint64_t packet_bytes_max) {
  if (threads_done_) return;
  loops_.encode.Post(
      [side = encode_side_.get(), packets, bytes, packet_bytes_max] {
        side->ReturnCredits(packets, bytes, packet_bytes_max);
      });
}

void CaptureChain::RequestKeyframe() {
  if (threads_done_) return;
  loops_.encode.Post([side = encode_side_.get()] { side->RequestKeyframe(); });
}

void CaptureChain::SetWatched(bool watched) {
  if (threads_done_) return;
  loops_.encode.Post(
      [side = encode_side_.get(), watched] { side->SetWatched(watched); });
}

void CaptureChain::Pause() {
  if (threads_done_) return;
  loops_.encode.Post([side = encode_side_.get()] { side->Pause(); });
}

void CaptureChain::Resume() {
  if (threads_done_) return;
  loops_.encode.Post([side = encode_side_.get()] { side->Resume(); });
}

void CaptureChain::OnThreadsDone() {
  threads_done_ = true;
  // Credits posted before this are still on their way to the encode thread, and
  // what the encoder said to the source: one more round trip, behind them.
  loops_.encode.Post([this] {
    loops_.source.Post([this] {
      loops_.control.Post([&client = client_] { client.OnRetired(); });
    });
  });
}

}  // namespace kine
