#include "daemon/recorder/replay/replay_feed.h"

#include "daemon/base/check.h"
#include "daemon/base/limits.h"

namespace kine {
namespace {

// In one turn of the loop; a fragment of a queue that is full is 48.
constexpr int kPacketsATurn = 32;

}  // namespace

ReplayFeed::ReplayFeed(Loop& loop, CaptureSink& sink, Replay replay,
                       int queue_packets)
    : loop_(loop),
      sink_(sink),
      replay_(std::move(replay)),
      queue_packets_(queue_packets) {
  Kick();
}

void ReplayFeed::Kick() {
  task_ = LoopHandle(loop_, loop_.PostAfter(absl::ZeroDuration(), [this] {
    task_.Cancel();
    Feed();
  }));
}

bool ReplayFeed::HasCredit() const {
  return held_packets_ < queue_packets_ &&
         held_bytes_ + limits::kPacketBytesMax <= limits::kQueueBytesMax;
}

void ReplayFeed::TellKnown() {
  if (std::exchange(told_, true)) return;
  if (replay_.encoder.has_value()) sink_.OnEncoder(*replay_.encoder, {});
  if (replay_.format.has_value())
    sink_.OnFormat(replay_.format->first, replay_.format->second);
}

void ReplayFeed::Feed() {
  TellKnown();
  for (int i = 0; i < kPacketsATurn && HasCredit() && !stopped_; ++i) {
    if (next_ == replay_.packets.size()) return sink_.OnEnded(replay_.end);
    // Not kept here any longer than by the sink.
    const SharedPacket packet = std::move(replay_.packets[next_++]);
    ++held_packets_;
    held_bytes_ += packet->data.size();
    if (!packet->refinement) ++counts_.captured, ++counts_.encoded;
    sink_.OnPacket(packet);
  }
  // Without credit ReturnCredits() goes on.
  if (HasCredit() && !stopped_) Kick();
}

void ReplayFeed::ReturnCredits(int packets, uint64_t bytes, uint64_t) {
  held_packets_ -= packets;
  held_bytes_ -= bytes;
  KINE_CHECK(held_packets_ >= 0);
  if (!stopped_ && !task_.active()) Kick();
}

void ReplayFeed::Stop() {
  KINE_CHECK(!stopped_);
  stopped_ = true;
  task_ = LoopHandle(loop_, loop_.PostAfter(absl::ZeroDuration(), [this] {
    sink_.OnDrained();
    task_ = LoopHandle(loop_, loop_.PostAfter(absl::ZeroDuration(), [this] {
      sink_.OnRetired();  // Destroys this.
    }));
  }));
}

}  // namespace kine
