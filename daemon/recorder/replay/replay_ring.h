// ReplayRing: the last packets of one source with certain picture settings,
// kept in memory for recordings that begin in the past (ReplayFeed). A sink of
// the capture as a recording is, but without a file.
//
//   [ReplayKept with each heartbeat] -> Stop() -> OnRetired
//                                    -> ReplayEnded -> OnRetired
//
// Its packets do not count in the pump: the ring has a bound of its own, and no
// disk. While the source is lost it waits; when the source or the encoder fails
// for good it says so and ends.
//
// Threads: control loop only. Destroy in OnRetired (or when all loops are
// dead).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "daemon/base/loop.h"
#include "daemon/recorder/capture/captures.h"
#include "daemon/recorder/replay/packet_ring.h"
#include "daemon/recorder/replay/replay_feed.h"
#include "ipc/link_messages.h"

namespace kine {

class ReplayRing final : private CaptureSink {
 public:
  class Client {
   public:
    virtual ~Client() = default;
    virtual void Tell(link::ToDaemon message) = 0;
    // Nothing can call back any more; destroy it here.
    virtual void OnRetired(ReplayRing& ring) = 0;
  };

  // Where Captures::MayJoin() allows RequestOf(keep).
  ReplayRing(Loop& loop, Captures& captures, Client& client,
             const link::KeepReplay& keep);
  ~ReplayRing() override;
  ReplayRing(const ReplayRing&) = delete;
  ReplayRing& operator=(const ReplayRing&) = delete;

  // What it joins.
  static CaptureRequest RequestOf(const link::KeepReplay& keep);

  // Ignored when it ends already.
  void Stop();

  const std::string& id() const { return id_; }
  bool ending() const { return ending_; }
  link::ReplayKept kept() const;
  // What it has of the last `last`, up to now or to where the source was lost;
  // no packets when there is nothing.
  Replay Last(absl::Duration last) const;

 private:
  // CaptureSink:
  void OnFormat(const VideoFormat& format,
                const SourceDescription& description) override;
  void OnEncoder(const EncoderDescription& description,
                 const std::vector<EncoderRefusal>& refusals) override;
  void OnFallback(EncodeFallback fallback) override;
  void OnImportRefused(std::string layout, std::string next) override;
  void OnNeverFinished(std::string layout) override;
  void OnPacket(SharedPacket packet) override;
  void OnCursor(const CursorBatch&) override {}  // Not kept.
  void OnLost(absl::Status reason, MonoTime when) override;
  void OnSourceFailed(absl::Status reason) override;
  void OnEncoderFailed(absl::Status reason) override;
  void OnNeedsConsent() override;
  void OnRestoreToken(std::string token) override;
  void OnEnded(MonoTime end) override;
  void OnDrained() override;
  void OnRetired() override;

  void GiveUp(const absl::Status& reason);
  // Up to when the picture is known.
  MonoTime KnownUntil() const;

  Loop& loop_;
  ReplayRing::Client& client_;
  const std::string id_;
  PacketRing ring_;
  std::optional<std::pair<VideoFormat, SourceDescription>> format_;
  std::optional<EncoderDescription> encoder_;
  std::optional<MonoTime> lost_since_;
  bool needs_consent_ = false;
  bool ending_ = false;
  std::unique_ptr<PacketFeed> feed_;
};

}  // namespace kine
