#include "daemon/recorder/replay/packet_ring.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "daemon/base/limits.h"

namespace kine {
namespace {

// One tick of the media clock, rounded up.
constexpr int64_t kTickNanos =
    (1'000'000'000 + limits::kMediaTimeScale - 1) / limits::kMediaTimeScale;

uint64_t Cost(const Packet& packet) {
  return packet.data.size() + sizeof(Packet);
}

SharedPacket AtTime(const SharedPacket& packet, MonoTime time) {
  auto moved = std::make_shared<Packet>(*packet);
  moved->time = time;
  return moved;
}

}  // namespace

void PacketRing::Add(SharedPacket packet) {
  if (packet->keyframe) groups_.emplace_back();
  if (groups_.empty()) return;
  const uint64_t cost = Cost(*packet);
  Group& group = groups_.back();
  group.packets.push_back(std::move(packet));
  group.bytes += cost;
  bytes_ += cost;
  ++packets_;
  while (bytes_ > bytes_max_) DropOldest();
}

void PacketRing::DropOldest() {
  bytes_ -= groups_.front().bytes;
  packets_ -= groups_.front().packets.size();
  groups_.pop_front();
}

void PacketRing::Trim(MonoTime now) {
  while (groups_.size() > 1 && groups_[1].packets.front()->time <= now - keep_)
    DropOldest();
}

bool PacketRing::wants_keyframe() const {
  return groups_.empty() || groups_.back().bytes > bytes_max_ / 2;
}

std::optional<MonoTime> PacketRing::begin() const {
  if (groups_.empty()) return std::nullopt;
  return groups_.front().packets.front()->time;
}

std::vector<SharedPacket> PacketRing::Since(MonoTime from) const {
  std::vector<SharedPacket> out;
  if (groups_.empty()) return out;
  auto group = std::find_if(
      groups_.rbegin(), groups_.rend(),
      [&](const Group& g) { return g.packets.front()->time <= from; });
  auto first =
      group == groups_.rend() ? groups_.begin() : std::prev(group.base());
  for (auto at = first; at != groups_.end(); ++at)
    out.insert(out.end(), at->packets.begin(), at->packets.end());
  if (out.front()->time >= from - absl::Milliseconds(limits::kKeyframeMs))
    return out;
  const auto shown = std::ranges::find_if(
      out, [&](const SharedPacket& packet) { return packet->time > from; });
  const auto before = shown - out.begin();
  for (auto i = before; i > 0; --i) {
    SharedPacket& packet = out[static_cast<size_t>(i - 1)];
    packet =
        AtTime(packet, from - absl::Nanoseconds(kTickNanos * (before - i)));
  }
  return out;
}

}  // namespace kine
