#include "daemon/recorder/replay/replay_ring.h"

#include <algorithm>

#include "daemon/recorder/source_spec.h"

namespace kine {

ReplayRing::ReplayRing(Loop& loop, Captures& captures, Client& client,
                       const link::KeepReplay& keep)
    : loop_(loop),
      client_(client),
      id_(keep.id),
      ring_(absl::Milliseconds(keep.keep_ms), keep.bytes_max),
      feed_(captures.Join(RequestOf(keep), *this, /*packet_bytes_max=*/0)) {}

ReplayRing::~ReplayRing() = default;

CaptureRequest ReplayRing::RequestOf(const link::KeepReplay& keep) {
  return ToCaptureRequest(keep.settings, keep.restore_token,
                          keep.queue_packets);
}

void ReplayRing::Stop() {
  if (std::exchange(ending_, true)) return;
  feed_->Stop();
}

MonoTime ReplayRing::KnownUntil() const {
  return lost_since_.value_or(loop_.clock().Now());
}

link::ReplayKept ReplayRing::kept() const {
  link::ReplayKept out;
  out.id = id_;
  if (const auto begin = ring_.begin())
    out.media_us =
        std::max<int64_t>(0, absl::ToInt64Microseconds(KnownUntil() - *begin));
  out.bytes = ring_.bytes();
  out.packets = ring_.packets();
  if (encoder_.has_value()) out.encoder = encoder_->name;
  out.needs_consent = needs_consent_;
  return out;
}

Replay ReplayRing::Last(absl::Duration last) const {
  const MonoTime end = KnownUntil();
  return {ring_.Since(end - last), end, format_, encoder_};
}

void ReplayRing::OnFormat(const VideoFormat& format,
                          const SourceDescription& description) {
  format_.emplace(format, description);
  needs_consent_ = false;
  lost_since_.reset();
}

void ReplayRing::OnEncoder(const EncoderDescription& description,
                           const std::vector<EncoderRefusal>&) {
  encoder_ = description;
}

// What was fallen back to is told by the recordings that it matters to.
void ReplayRing::OnFallback(EncodeFallback) {}
void ReplayRing::OnImportRefused(std::string, std::string) {}
void ReplayRing::OnNeverFinished(std::string) {}
void ReplayRing::OnNeedsConsent() { needs_consent_ = true; }
// A capture has no end of its own.
void ReplayRing::OnEnded(MonoTime) {}

void ReplayRing::OnPacket(SharedPacket packet) {
  const uint64_t bytes = packet->data.size();
  ring_.Add(std::move(packet));
  ring_.Trim(loop_.clock().Now());
  feed_->ReturnCredits(1, bytes, 0);
  if (ring_.wants_keyframe()) feed_->RequestKeyframe();
}

void ReplayRing::OnLost(absl::Status, MonoTime when) {
  if (!lost_since_.has_value()) lost_since_ = when;
}

void ReplayRing::OnSourceFailed(absl::Status reason) { GiveUp(reason); }
void ReplayRing::OnEncoderFailed(absl::Status reason) { GiveUp(reason); }

void ReplayRing::GiveUp(const absl::Status& reason) {
  if (ending_) return;
  client_.Tell(link::ReplayEnded{id_, std::string(reason.message())});
  Stop();
}

void ReplayRing::OnRestoreToken(std::string token) {
  client_.Tell(link::RestoreToken{id_, std::move(token)});
}

void ReplayRing::OnDrained() {}

void ReplayRing::OnRetired() {
  client_.OnRetired(*this);  // May destroy this.
}

}  // namespace kine
