// ReplayFeed: hands a Replay to a sink, as a capture would have done: encoder,
// format, every packet with its time, the end.
//
//   -> OnEncoder, OnFormat -> OnPacket* -> OnEnded -> Stop() -> OnDrained ->
//   OnRetired
//
// As fast as the sink takes them: it holds no more than the queue of a pump,
// and a turn of the loop hands out a few, so that a long replay keeps nobody
// waiting.
//
// Threads: control loop only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "daemon/base/loop.h"
#include "daemon/recorder/capture/packet_feed.h"

namespace kine {

// What a ring had at one moment. The packets are shared with it.
struct Replay {
  std::vector<SharedPacket> packets;  // The first is a keyframe.
  MonoTime end;                       // Until then the last one was shown.
  std::optional<std::pair<VideoFormat, SourceDescription>> format;
  std::optional<EncoderDescription> encoder;
};

class ReplayFeed final : public PacketFeed {
 public:
  // Begins at once, by posted tasks. `queue_packets`: as a pump's.
  ReplayFeed(Loop& loop, CaptureSink& sink, Replay replay, int queue_packets);

  void Stop() override;
  void ReturnCredits(int packets, uint64_t bytes,
                     uint64_t packet_bytes_max) override;
  // What is past stays as it is.
  void RequestKeyframe() override {}
  void SetWatched(bool) override {}
  bool Pause() override { return false; }
  void Resume() override {}
  CaptureCounts counts() const override { return counts_; }

 private:
  void Kick();
  void TellKnown();
  void Feed();
  bool HasCredit() const;

  Loop& loop_;
  CaptureSink& sink_;
  Replay replay_;
  const int queue_packets_;
  size_t next_ = 0;
  int held_packets_ = 0;
  uint64_t held_bytes_ = 0;
  bool told_ = false;
  bool stopped_ = false;
  CaptureCounts counts_;

  // Last, so that it is cancelled first.
  LoopHandle task_;
};

}  // namespace kine
