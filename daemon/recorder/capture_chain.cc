#include "daemon/recorder/capture_chain.h"

#include <utility>

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

  EncodePump& Start() {
    pump_ = std::make_unique<EncodePump>(loops_.encode, *this, metrics_,
                                         std::move(factory_), options_);
    pump_->SetPacketBytesMax(packet_bytes_max_);
    pump_->Start();
    return *pump_;
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

  void Start(EncodePump& pump) {
    pump_ = &pump;
    if (stopping_) return End();
    absl::StatusOr<std::unique_ptr<FrameSource>> source =
        factory_(std::move(options_), loops_.source);
    if (!source.ok()) return OnFailed(source.status());
    source_ = *std::move(source);
    source_->Start(*this);
  }

  void Stop() {
    KINE_CHECK(!stopping_);
    stopping_ = true;
    if (pump_ != nullptr) End();  // Else Start() is still to come.
  }

 private:
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
  }

  const Loops loops_;
  CaptureChain::Client& client_;
  SourceCounters& counters_;
  EncodeSide& encode_side_;
  SourceFactory factory_;
  SourceOptions options_;
  EncodePump* pump_ = nullptr;
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
  loops_.encode.Post([this] {
    EncodePump& pump = encode_side_->Start();
    loops_.source.Post([this, &pump] { source_side_->Start(pump); });
  });
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

void CaptureChain::OnThreadsDone() {
  threads_done_ = true;
  // Credits posted before this are still on their way to the encode thread:
  // one more round trip, behind them.
  loops_.encode.Post([this] {
    loops_.control.Post([&client = client_] { client.OnRetired(); });
  });
}

}  // namespace kine
