// EncodeSide: the encode thread's half of an Encoding: the pump, and which of
// its sinks gets which packet.
//
// Threads: made and destroyed on control, when nothing runs on encode for it;
// everything else on the encode loop. Control hears of it through Encoding, the
// source thread through SourceSide, by posted tasks.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "daemon/recorder/capture/capture_sink.h"
#include "daemon/recorder/capture/credit.h"
#include "encode/encode_pump.h"

namespace kine {

class CaptureTap;
class Encoding;
class SourceSide;

class EncodeSide final : private EncodePump::Client {
 public:
  EncodeSide(const CaptureLoops& loops, Encoding& encoding, SourceSide& source,
             EncodePumpMetrics& metrics, EncodePump::EncoderFactory factory,
             const EncodePumpOptions& options);
  ~EncodeSide() override;

  // From then on `tap` gets packets, beginning with a keyframe. `ask` for one;
  // not while the source is lost, when the kept picture is an old one. The
  // first one's Join() starts the pump, so that no packet comes before it.
  void Join(CaptureTap& tap, uint64_t packet_bytes_max, bool ask);
  // Ends with Encoding::OnLeft(), when `tap` has got what was offered before.
  // One that has had no packet gets the kept picture when `picture_known`.
  void Leave(CaptureTap& tap, bool picture_known);
  // Ends with Encoding::OnDrained() for all that are left; nothing follows it.
  void Stop();

  // Of those who joined; ignored for others.
  void ReturnCredits(CaptureTap& tap, int packets, uint64_t bytes,
                     uint64_t packet_bytes_max);
  void SetWatched(CaptureTap& tap, bool watched);
  void Pause(CaptureTap& tap);
  void Resume(CaptureTap& tap);
  void RequestKeyframe();

 private:
  struct Outlet {
    CaptureTap* tap;
    uint64_t packet_bytes_max;
    bool begun = false;   // Has had a packet.
    bool waiting = true;  // For a keyframe.
    bool paused = false;
    bool watched = false;
  };

  // EncodePump::Client:
  void OnEncoderReady(const EncoderDescription& description,
                      const std::vector<EncoderRefusal>& refusals) override;
  void OnFallback(EncodeFallback fallback) override;
  void OnCannotImport(const VideoFormat& format) override;
  void OnPacket(Packet packet) override;
  void OnFailed(absl::Status reason) override;
  void OnDrained() override;

  void Start();
  Outlet* Find(const CaptureTap& tap);
  void Detach(CaptureTap& tap);
  // Brings the pump in line with what the outlets want together.
  void Settle();
  void ReturnFreed();

  const CaptureLoops loops_;
  Encoding& encoding_;
  SourceSide& source_;
  EncodePumpMetrics& metrics_;
  EncodePump::EncoderFactory factory_;
  const EncodePumpOptions options_;
  std::unique_ptr<EncodePump> pump_;
  std::vector<Outlet> outlets_;
  SharedCredit credit_;
  bool pump_paused_ = false;
};

}  // namespace kine
