// CaptureChain: one source and one encode pump on their threads, and the
// mailbox between them, as the control thread sees them.
//
//   Start() -> OnFormat, OnEncoder, OnPacket*, OnLost/OnFormat... ->
//   Stop()  -> OnPacket* -> OnDrained -> OnRetired
//
// Threads: constructed, called and destroyed on the control loop, where its
// Client is called, never inside a call. Inside, SourceSide and EncodeSide each
// belong to their loop and reach the others by Post(); the one thing that both
// the source and the encode thread touch is the pump's mailbox.
//
// Two ends. OnDrained: the encoder gave its last packet; the outcome of the
// recording does not depend on the source any more, however long it takes to
// let go. OnRetired: source and pump are gone, and a task has travelled from
// source to encode to control behind all others, so nothing can call back.
// Only then may this be destroyed (inside OnRetired is fine).
//
// All three loops must outlive it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "capture/create_source.h"
#include "capture/frame_source.h"
#include "daemon/base/loop.h"
#include "daemon/base/metrics.h"
#include "encode/encode_pump.h"

namespace kine {

// The source's counters as of its last frame (and of its end), from any thread.
struct SourceCounters {
  Gauge received;
  Gauge lost_in_drain;
  Gauge lost_in_source;
  Gauge corrupted;
  Gauge fence_timeouts;
};

class CaptureChain {
 public:
  class Client {
   public:
    virtual ~Client() = default;
    // The source is there: at first, after OnLost, and with a new size.
    virtual void OnFormat(const VideoFormat& format,
                          const SourceDescription& description) = 0;
    virtual void OnEncoder(const EncoderDescription& description,
                           const std::vector<EncoderRefusal>& refusals) = 0;
    virtual void OnEncoderStep(EncoderStep step) = 0;
    // The encoder could not take in what it said it could (in words); the
    // source was told, and offers `next` first now.
    virtual void OnImportRefused(std::string layout, std::string next) = 0;
    // The producer never finishes its DMA-BUFs; the source was told and offers
    // memory only.
    virtual void OnNeverFinished(std::string layout) = 0;
    virtual void OnPacket(Packet packet) = 0;
    // The source is gone (since `when`) and waits for its input to come back.
    virtual void OnLost(absl::Status reason, MonoTime when) = 0;
    // Final; Stop() is still due.
    virtual void OnSourceFailed(absl::Status reason) = 0;
    virtual void OnEncoderFailed(absl::Status reason) = 0;
    virtual void OnNeedsConsent() = 0;
    virtual void OnRestoreToken(std::string token) = 0;
    virtual void OnDrained() = 0;
    virtual void OnRetired() = 0;
  };

  // CreateSource, or a fake.
  using SourceFactory =
      absl::AnyInvocable<absl::StatusOr<std::unique_ptr<FrameSource>>(
          SourceOptions options, Loop& loop)>;

  struct Loops {
    Loop& control;
    Loop& source;
    Loop& encode;
  };
  struct Options {
    SourceSpec source;
    EncodePumpOptions pump;
    uint64_t packet_bytes_max = 0;  // As SetPacketBytesMax(), from the start.
  };

  CaptureChain(Loops loops, Client& client, SourceFactory source_factory,
               EncodePump::EncoderFactory encoder_factory, Options options);
  ~CaptureChain();
  CaptureChain(const CaptureChain&) = delete;
  CaptureChain& operator=(const CaptureChain&) = delete;

  // Once. The pump first; then, when the encoder has said what it imports, the
  // source: frames find a pump that can read them.
  void Start();
  // Once, at any time after Start(); never waits for a frame.
  void Stop();
  // Packets that need no memory any more, and what the next may measure
  // (0: anything), in one task. Ignored once the pump is gone.
  void ReturnCredits(int packets, uint64_t bytes, uint64_t packet_bytes_max);
  void RequestKeyframe();
  void SetWatched(bool watched);
  // As the pump's; the source keeps its connection. Ignored once it is gone.
  void Pause();
  void Resume();

  const EncodePumpMetrics& pump_metrics() const { return pump_metrics_; }
  const SourceCounters& source_counters() const { return source_counters_; }

 private:
  class SourceSide;
  class EncodeSide;

  // From the encode thread to the source's half.
  void TellSource(EncodePump& pump, std::vector<DmabufFormat> imports);
  void TellSourceNoEncoder(EncodePump& pump);
  void TellSourceRefused(const VideoFormat& format);
  // Neither thread will post anything more.
  void OnThreadsDone();

  const Loops loops_;
  Client& client_;
  bool threads_done_ = false;
  EncodePumpMetrics pump_metrics_;
  SourceCounters source_counters_;
  std::unique_ptr<EncodeSide> encode_side_;
  std::unique_ptr<SourceSide> source_side_;
};

}  // namespace kine
