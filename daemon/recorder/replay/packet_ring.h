// PacketRing: the newest packets of one encoder, within bounds of time and
// memory, always beginning with a keyframe.
//
// What it keeps is what shows the last `keep`: from the newest keyframe that is
// at least so old. On a still screen no packets come, and the last ones stay,
// however old they are: they are what is shown. Above `bytes_max` the oldest
// go, up to the next keyframe; a single run of packets above it is dropped.
//
// Pure; control loop only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "daemon/base/clock.h"
#include "encode/encoder.h"

namespace kine {

class PacketRing {
 public:
  PacketRing(absl::Duration keep, uint64_t bytes_max)
      : keep_(keep), bytes_max_(bytes_max) {}

  // In encoding order. Without a keyframe before it, it is not kept.
  void Add(SharedPacket packet);
  // Gives up what is not needed any more at `now`.
  void Trim(MonoTime now);

  // The next packet should be a keyframe: there is none yet, or the packets
  // since the last one fill half of the memory.
  bool wants_keyframe() const;

  // Whatever shows the time from `from` on, or less when the ring begins later;
  // the first is a keyframe. That keyframe may be older than `from`. Then the
  // packets have their own times, unless it is older by more than
  // limits::kKeyframeMs. In that case little happened for a while (a keyframe
  // would have come): the packets up to `from` follow on each other by one
  // media tick and end there, so that the picture of `from` is the first to be
  // seen, and what comes out lasts as long as was asked for.
  std::vector<SharedPacket> Since(MonoTime from) const;

  bool empty() const { return groups_.empty(); }
  // Of the oldest keyframe.
  std::optional<MonoTime> begin() const;
  uint64_t bytes() const { return bytes_; }
  size_t packets() const { return packets_; }

 private:
  // A keyframe and what depends on it.
  struct Group {
    std::vector<SharedPacket> packets;
    uint64_t bytes = 0;
  };
  void DropOldest();

  const absl::Duration keep_;
  const uint64_t bytes_max_;
  std::deque<Group> groups_;
  uint64_t bytes_ = 0;
  size_t packets_ = 0;
};

}  // namespace kine
