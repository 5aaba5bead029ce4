// CaptureTap: a sink's place at a capture, by which it is fed (capture_sink.h).
//
// Threads: control loop only. Made by Captures::Join().
//
// What one sink does disturbs no other: no packet of theirs is lost and no time
// jumps. What they may see of it is a keyframe more.
#pragma once

#include <cstdint>
#include <optional>

#include "daemon/recorder/capture/capture_sink.h"
#include "daemon/recorder/capture/counts.h"
#include "daemon/recorder/capture/packet_feed.h"

namespace kine {

class Capture;
class Encoding;

class CaptureTap final : public PacketFeed {
 public:
  CaptureTap(Capture& capture, Encoding& encoding, CaptureSink& sink);
  CaptureTap(const CaptureTap&) = delete;
  CaptureTap& operator=(const CaptureTap&) = delete;

  // PacketFeed: a still picture is repeated as long as one of a pump's sinks is
  // watched; nothing is encoded while all of them are paused.
  void Stop() override;
  void ReturnCredits(int packets, uint64_t bytes,
                     uint64_t packet_bytes_max) override;
  void RequestKeyframe() override;
  void SetWatched(bool watched) override;
  bool Pause() override;
  void Resume() override;
  CaptureCounts counts() const override;

  // -- Of the capture ---------------------------------------------------------

  CaptureSink& sink() const { return sink_; }
  bool stopping() const { return stopping_; }
  // Tells what is known so far; before that, the sink is told nothing.
  void TellKnown();
  bool knows() const { return knows_; }
  // What the pump had counted when it began to leave this sink out, and when it
  // ended that.
  void OnPaused(const PumpCounts& counts);
  void OnResumed(const PumpCounts& counts);
  // Nothing more will be handed to it.
  void OnDrained() { drained_ = true; }
  // What is counted from now on is not this sink's; capture and encoding are
  // not used any more.
  void Close() { final_ = counts(); }

 private:
  Capture& capture_;
  Encoding& encoding_;
  CaptureSink& sink_;
  bool knows_ = false;
  bool stopping_ = false;
  bool drained_ = false;

  // Counts are differences to what was there when it joined.
  const SourceCounts source_base_;
  const PumpCounts pump_base_;
  PumpCounts left_out_;  // Of the pauses that are over.
  std::optional<PumpCounts> paused_at_;
  std::optional<CaptureCounts> final_;
};

}  // namespace kine
