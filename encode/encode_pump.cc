#include "encode/encode_pump.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/check.h"
#include "daemon/base/status.h"

namespace kine {
namespace {

// One tick of the media clock, rounded up: times that differ by it stay
// different in the file.
constexpr int64_t kTickNanos =
    (1'000'000'000 + limits::kMediaTimeScale - 1) / limits::kMediaTimeScale;

// How much too early a frame may be, as a part of the interval.
constexpr int kPaceTolerance = 16;

}  // namespace

EncodePump::EncodePump(Loop& loop, Client& client, EncodePumpMetrics& metrics,
                       EncoderFactory factory, const EncodePumpOptions& options)
    : loop_(loop),
      client_(client),
      metrics_(metrics),
      factory_(std::move(factory)),
      ladder_(options.encoder),
      options_(options),
      // Whole nanoseconds, as the clock has: a wait for less never ends.
      interval_(absl::Floor(absl::Seconds(1) / options.fps_max,
                            absl::Nanoseconds(1))),
      tolerance_(
          absl::Floor(interval_ / kPaceTolerance, absl::Nanoseconds(1))) {
  KINE_CHECK(options.fps_max > 0 && options.queue_packets > 0);
  if (!options.crop.has_value()) return;
  crop_.emplace(*options.crop);
  cropped_to_ = *options.crop;
}

EncodePump::~EncodePump() {
  KINE_CHECK(loop_.IsCurrent());
  KINE_CHECK(state_ != State::kStopping);
}

void EncodePump::Start() {
  KINE_CHECK(state_ == State::kIdle);
  state_ = State::kRunning;
  Kick();
}

void EncodePump::Offer(Frame frame, const Pointer* pointer) {
  metrics_.frames_offered.Add();
  // First: who takes the frame finds it.
  if (pointer != nullptr && options_.draws_pointer)
    pointers_.Put(*pointer, [](Pointer, Pointer&) {});
  if (!mailbox_.Put(std::move(frame), InheritDamage)) {
    CountUnused();
    return;
  }
  loop_.Post([this] {
    frame_waiting_ = true;
    Run();
  });
}

void EncodePump::OfferPointer(Pointer pointer) {
  if (!options_.draws_pointer ||
      !pointers_.Put(std::move(pointer), [](Pointer, Pointer&) {}))
    return;
  loop_.Post([this] {
    pointer_waiting_ = true;
    Run();
  });
}

void EncodePump::RequestKeyframe() {
  keyframe_wanted_ = true;
  Kick();
}

void EncodePump::RequestKeyframeNow() {
  keyframe_now_ = true;
  RequestKeyframe();
}

void EncodePump::CatchUp(absl::AnyInvocable<void()> done) {
  KINE_CHECK(state_ != State::kStopping && state_ != State::kDrained);
  catching_up_.push_back(std::move(done));
  Kick();
}

void EncodePump::Pause() {
  paused_ = true;
  refine_due_ = false;
  still_due_ = false;
  pace_timer_.Cancel();
  refine_timer_.Cancel();
  keyframe_timer_.Cancel();
  still_timer_.Cancel();
}

void EncodePump::Resume() {
  if (!paused_.exchange(false)) return;
  ArmStill();
  RequestKeyframeNow();
}

void EncodePump::SetPacketBytesMax(uint64_t bytes) {
  packet_bytes_max_ = bytes;
}

void EncodePump::ReturnCredits(int packets, uint64_t bytes) {
  KINE_CHECK(packets <= packets_out_ && bytes <= bytes_out_);
  packets_out_ -= packets;
  bytes_out_ -= bytes;
  if (frame_waiting_ || pointer_waiting_ || keyframe_wanted_ || refine_due_ ||
      still_due_)
    Kick();
}

void EncodePump::Stop() {
  KINE_CHECK(state_ != State::kStopping && state_ != State::kDrained);
  state_ = State::kStopping;
  Kick();
}

void EncodePump::Kick() {
  if (kick_.active()) return;
  kick_ = LoopHandle(loop_, loop_.PostAfter(absl::ZeroDuration(), [this] {
    kick_.Cancel();
    Run();
  }));
}

void EncodePump::Run() {
  switch (state_) {
    case State::kIdle:
      return;  // Start() comes back to the waiting frame.
    case State::kFailed:
    case State::kDrained:
      GiveUpWaitingFrame();
      TellCaughtUp();
      return;
    case State::kStopping:
      Finish();
      return;
    case State::kRunning:
      break;
  }
  if (encoder_ == nullptr && !MakeEncoder()) return TellCaughtUp();
  if (!catching_up_.empty()) return CatchUpNow();
  if (paused_) return;
  if (frame_waiting_) {
    const MonoTime now = loop_.clock().Now();
    if (!HasCredit()) {
      if (!stalled_.has_value()) {
        metrics_.credit_stalls.Add();
        stalled_ = now;
      }
    } else if (PaceAllows(now)) {
      EncodeWaiting();
    }
    return;
  }
  if (pointer_waiting_ && HasCredit() && PaceAllows(loop_.clock().Now()))
    EncodePointer();
  if (state_ != State::kRunning) return;
  if (keyframe_wanted_) KeyframeOnDemand();
  if (refine_due_ && state_ == State::kRunning && HasCredit()) {
    refine_due_ = false;
    EncodeKept(Encoder::Again::kRefine);
  }
  if (still_due_ && state_ == State::kRunning && HasCredit()) {
    still_due_ = false;
    EncodeKept(Encoder::Again::kSkip);
    if (state_ == State::kRunning && !still_timer_.active()) ArmStill();
  }
}

void EncodePump::CatchUpNow() {
  if (frame_waiting_ && !paused_ && HasCredit()) EncodeWaiting();
  if (pointer_waiting_ && !paused_ && HasCredit() && state_ == State::kRunning)
    EncodePointer();
  if (keyframe_wanted_ && !paused_ && state_ == State::kRunning)
    KeyframeOnDemand();
  FlushEncoder();
  TellCaughtUp();
  Kick();  // To what else is due.
}

void EncodePump::TellCaughtUp() {
  for (auto& done : std::exchange(catching_up_, {})) done();
}

void EncodePump::FlushEncoder() {
  if (encoder_ == nullptr) return;
  const MonoTime start = loop_.clock().Now();
  if (!encoder_->Flush(out_).ok()) metrics_.encoder_errors.Add();
  Deliver(start);
}

void EncodePump::Finish() {
  // There is no encoder yet when Stop() came right after Start().
  if (frame_waiting_ && !failed_ && !paused_ && HasCredit() &&
      (encoder_ != nullptr || MakeEncoder())) {
    EncodeWaiting();
  }
  if (pointer_waiting_ && encoder_ != nullptr && !paused_ && HasCredit())
    EncodePointer();
  FlushEncoder();
  encoder_.reset();
  GiveUpWaitingFrame();
  TellCaughtUp();
  pace_timer_.Cancel();
  refine_timer_.Cancel();
  keyframe_timer_.Cancel();
  still_timer_.Cancel();
  state_ = State::kDrained;
  client_.OnDrained();  // May destroy this.
}

void EncodePump::GiveUpWaitingFrame() {
  frame_waiting_ = false;
  if (mailbox_.Take().has_value()) CountUnused();
}

void EncodePump::CountUnused() {
  (paused_ ? metrics_.skipped_paused : metrics_.frames_lost).Add();
}

bool EncodePump::HasCredit() const {
  return packets_out_ < options_.queue_packets &&
         bytes_out_ + std::min(limits::kPacketBytesMax, options_.queue_bytes) <=
             options_.queue_bytes;
}

bool EncodePump::KeyframeIsDue(MonoTime now) const {
  if (!last_keyframe_.has_value()) return false;  // The first comes by itself.
  const absl::Duration since = now - *last_keyframe_;
  return since >= options_.keyframe_seldom ||
         (since >= options_.keyframe_every &&
          since_keyframe_ >= options_.keyframe_pictures);
}

bool EncodePump::KeyframeMayFollow(MonoTime now) const {
  return keyframe_now_ || !last_keyframe_.has_value() ||
         now - *last_keyframe_ >= options_.keyframe_request_gap;
}

bool EncodePump::MayBeKeyframe(MonoTime now) const {
  return KeyframeIsDue(now) || (keyframe_wanted_ && KeyframeMayFollow(now));
}

bool EncodePump::PaceAllows(MonoTime now) {
  if (!slot_.has_value()) return true;
  const absl::Duration wait = *slot_ - now - tolerance_;
  if (wait <= absl::ZeroDuration()) return true;
  if (!pace_timer_.active()) {
    pace_timer_ = LoopHandle(loop_, loop_.PostAfter(wait, [this] {
      pace_timer_.Cancel();
      Run();
    }));
  }
  return false;
}

void EncodePump::EncodeWaiting() {
  frame_waiting_ = false;
  untold_.stalled = std::exchange(stalled_, std::nullopt);
  pace_timer_.Cancel();
  std::optional<Frame> frame = mailbox_.Take();
  if (!frame.has_value()) return;
  untold_.replaced += frame->replaced;
  if (!CropFrame(*frame)) return;
  const MonoTime start = loop_.clock().Now();
  const absl::Duration delay = frame->arrival - frame->time;
  frame->time = NoEarlier(frame->time);
  TakePointer();
  const auto outcome = EncodeWithRetries(*frame, MayBeKeyframe(start));
  if (!outcome.ok()) {
    Fail(outcome.status());
    return;
  }
  if (*outcome != Encoder::Outcome::kCannotImport) TellWhetherDrawn();
  if (*outcome == Encoder::Outcome::kUnchanged) {
    SkipFrame(*frame);
    return;
  }
  if (*outcome == Encoder::Outcome::kCannotImport) {
    metrics_.imports_refused.Add();
    frame->GiveBack();
    client_.OnCannotImport(frame->format);
    Deliver(start);  // What the encoder still held.
    return;
  }
  has_picture_ = true;
  metrics_.frames_encoded.Add();
  metrics_.wait.Record(start - frame->arrival);
  metrics_.encode.Record(loop_.clock().Now() - start);
  source_delay_ = std::max(delay, absl::ZeroDuration());
  slot_ = std::max(slot_.value_or(start), start) + interval_;
  refine_due_ = false;
  ArmRefinement();
  Deliver(start);
}

bool EncodePump::CropFrame(Frame& frame) {
  if (!crop_.has_value()) return true;
  const PictureCrop::Cut cut = crop_->Apply(frame);
  if (cut.part.empty() && !last_time_.has_value()) {
    frame.GiveBack();
    Fail(absl::OutOfRangeError(crop_->Explain(cut)));
    return false;
  }
  if (std::exchange(cropped_to_, cut.part) != cut.part)
    client_.OnFallback({.what = "crop",
                        .from = PictureCrop::NameOf(crop_->asked()),
                        .to = PictureCrop::NameOf(cut.part),
                        .reason = absl::OutOfRangeError(crop_->Explain(cut)),
                        .lasts = cut.part != crop_->asked()});
  crop_left_ = cut.left;
  crop_top_ = cut.top;
  if (cut.part.empty()) SkipFrame(frame);
  return !cut.part.empty();
}

void EncodePump::SkipFrame(Frame& frame) {
  metrics_.skipped_undamaged.Add();
  ++untold_.unchanged;
  frame.GiveBack();
  if (keyframe_wanted_ && state_ == State::kRunning) KeyframeOnDemand();
}

MonoTime EncodePump::NoEarlier(MonoTime time) const {
  if (!last_time_.has_value()) return time;
  return std::max(time, *last_time_ + absl::Nanoseconds(kTickNanos));
}

absl::StatusOr<Encoder::Outcome> EncodePump::EncodeWithRetries(Frame& frame,
                                                               bool keyframe) {
  while (true) {
    auto outcome = encoder_->Encode(frame, Request(keyframe), out_);
    if (outcome.ok()) {
      ladder_.Worked();
      return outcome;
    }
    KINE_RETURN_IF_ERROR(StepDown(outcome.status()).status());
    keyframe = true;
  }
}

absl::StatusOr<EncoderLadder::Step> EncodePump::StepDown(
    const absl::Status& reason) {
  metrics_.encoder_errors.Add();
  const EncoderLadder::Step step = ladder_.Failed(loop_.clock().Now());
  if (step == EncoderLadder::Step::kGiveUp) return reason;
  EncodeFallback told{.what = "encoder",
                      .from = encoder_->description().name,
                      .reason = reason};
  if (step == EncoderLadder::Step::kKeyframe) {
    told.to = absl::StrCat(told.from, ", keyframe");
    client_.OnFallback(std::move(told));
    return step;
  }
  metrics_.encoder_rebuilds.Add();
  told.to = step == EncoderLadder::Step::kRebuild
                ? absl::StrCat(told.from, ", opened anew")
                : "software";
  client_.OnFallback(std::move(told));
  // First: a device may not be opened twice.
  encoder_.reset();
  KINE_RETURN_IF_ERROR(Rebuild());
  return step;
}

absl::Status EncodePump::Rebuild() {
  KINE_ASSIGN_OR_RETURN(CreatedEncoder created, factory_(ladder_.choice()));
  ladder_.Made(created.kind);
  encoder_ = std::move(created.encoder);
  has_picture_ = false;
  client_.OnEncoderReady(encoder_->description(), created.refusals);
  return absl::OkStatus();
}

bool EncodePump::MakeEncoder() {
  const absl::Status made = Rebuild();
  if (!made.ok()) Fail(made);
  return made.ok();
}

void EncodePump::Deliver(MonoTime start) {
  const MonoTime end = loop_.clock().Now();
  std::vector<Packet> packets;
  packets.swap(out_);
  if (!packets.empty() && state_ == State::kRunning) {
    still_due_ = false;
    ArmStill();
  }
  for (Packet& packet : packets) {
    packet.encode_start = start;
    packet.encode_end = end;
    const auto untold = std::exchange(untold_, {});
    packet.stalled = untold.stalled;
    packet.replaced = untold.replaced;
    packet.unchanged = untold.unchanged;
    last_time_ = packet.time;
    ++since_keyframe_;
    if (packet.keyframe) {
      metrics_.keyframes.Add();
      last_keyframe_ = start;
      since_keyframe_ = 0;
      keyframe_wanted_ = false;
      keyframe_now_ = false;
      keyframe_timer_.Cancel();
    }
    metrics_.packets.Add();
    metrics_.packet_bytes.Add(packet.data.size());
    ++packets_out_;
    bytes_out_ += packet.data.size();
    client_.OnPacket(std::move(packet));
  }
}

void EncodePump::Fail(const absl::Status& reason) {
  failed_ = true;
  encoder_.reset();
  out_.clear();
  GiveUpWaitingFrame();
  pace_timer_.Cancel();
  refine_timer_.Cancel();
  keyframe_timer_.Cancel();
  still_timer_.Cancel();
  // While stopping, OnDrained is still due and says it all.
  if (state_ == State::kRunning) state_ = State::kFailed;
  client_.OnFailed(reason);
}

EncodeRequest EncodePump::Request(bool keyframe) const {
  EncodeRequest request;
  request.keyframe = keyframe;
  request.max_bytes = limits::kPacketBytesMax;
  if (packet_bytes_max_ != 0) {
    request.max_bytes = std::min(packet_bytes_max_, request.max_bytes);
  }
  if (pointer_.has_value()) request.pointer = &*pointer_;
  return request;
}

}  // namespace kine
