// PacketFeed: what a sink holds of the one who feeds it. A seam: CaptureTap
// feeds what is captured now, ReplayFeed what was kept of it before.
//
// Threads: control loop only. Destroyed by whoever has the sink, inside its
// OnRetired (or when all loops are dead).
#pragma once

#include <cstdint>

#include "daemon/recorder/capture/capture_sink.h"

namespace kine {

class PacketFeed {
 public:
  virtual ~PacketFeed() = default;

  // Once; never waits for a frame. Ignored after it: everything below but
  // ReturnCredits().
  virtual void Stop() = 0;
  // Packets whose memory this sink needs no more, and what the next may measure
  // for it (0: anything).
  virtual void ReturnCredits(int packets, uint64_t bytes,
                             uint64_t packet_bytes_max) = 0;
  virtual void RequestKeyframe() = 0;
  // Somebody watches: a still picture is repeated.
  virtual void SetWatched(bool watched) = 0;
  // No packets from then until Resume(), which asks for a keyframe at once.
  // Repeating either changes nothing. False: what is fed cannot be paused.
  virtual bool Pause() = 0;
  virtual void Resume() = 0;

  virtual CaptureCounts counts() const = 0;
};

}  // namespace kine
