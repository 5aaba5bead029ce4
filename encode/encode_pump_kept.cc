// EncodePump: what is encoded of the picture that the encoder keeps.
#include <algorithm>
#include <utility>

#include "encode/encode_pump.h"

namespace kine {

void EncodePump::SetWatched(bool watched) {
  if (std::exchange(watched_, watched) == watched) return;
  still_due_ = false;
  still_timer_.Cancel();
  ArmStill();
}

// From the newest packet on.
void EncodePump::ArmStill() {
  if (!watched_ || paused_) return;
  still_timer_ =
      LoopHandle(loop_, loop_.PostAfter(options_.still_every, [this] {
        still_timer_.Cancel();
        still_due_ = true;
        Run();
      }));
}

void EncodePump::ArmRefinement() {
  refine_timer_ =
      LoopHandle(loop_, loop_.PostAfter(options_.refine_after, [this] {
        refine_timer_.Cancel();
        refine_due_ = true;
        Run();
      }));
}

void EncodePump::TakePointer() {
  pointer_waiting_ = false;
  std::optional<Pointer> pointer = pointers_.Take();
  if (pointer.has_value()) offered_pointer_ = *std::move(pointer);
  if (!offered_pointer_.has_value()) return;
  pointer_ = offered_pointer_;
  pointer_->x -= crop_left_;
  pointer_->y -= crop_top_;
}

void EncodePump::EncodePointer() {
  TakePointer();
  // Where the crop is nothing, the pointer is elsewhere.
  if (pointer_.has_value() && !(crop_.has_value() && cropped_to_.empty()))
    EncodeKept(Encoder::Again::kPointer);
}

void EncodePump::TellWhetherDrawn() {
  if (!pointer_.has_value()) return;
  const bool missing = !encoder_->draws_pointer();
  if (std::exchange(pointer_missing_, missing) == missing) return;
  client_.OnFallback(
      {.what = "cursor",
       .from = "embedded",
       .to = missing ? "metadata" : "embedded",
       .reason = absl::UnimplementedError(
           missing ? "the GPU reads the source's DMA-BUFs, into which the "
                     "pointer cannot be drawn; ask for the encoder software, "
                     "or take the pointer from the cursor file"
                   : "the pictures come in memory, into which the pointer is "
                     "drawn"),
       .lasts = missing});
}

void EncodePump::EncodeKept(Encoder::Again how) {
  if (!has_picture_) return;
  const MonoTime start = loop_.clock().Now();
  const bool pointer = how == Encoder::Again::kPointer;
  // On the source's time line, where frames are stamped earlier than they
  // arrive: the next one must not be older than this.
  const MonoTime time =
      NoEarlier(pointer ? pointer_->time : start - source_delay_);
  auto outcome = encoder_->EncodeAgain(
      how, time, Request(pointer && MayBeKeyframe(start)), out_);
  if (!outcome.ok()) {
    const auto step = StepDown(outcome.status());
    if (!step.ok()) return Fail(step.status());
    // With its encoder the kept picture is lost; the next frame replaces it.
    if (*step != EncoderLadder::Step::kKeyframe) return;
    outcome = encoder_->EncodeAgain(Encoder::Again::kKeyframe, time,
                                    Request(false), out_);
  }
  if (!outcome.ok()) {
    const auto step = StepDown(outcome.status());
    if (!step.ok()) Fail(step.status());
    return;
  }
  ladder_.Worked();
  if (*outcome == Encoder::Outcome::kUnchanged) return;
  if (how == Encoder::Again::kRefine) metrics_.refinements.Add();
  if (how == Encoder::Again::kSkip) metrics_.repeated.Add();
  if (pointer) {
    metrics_.pointer_pictures.Add();
    slot_ = std::max(slot_.value_or(start), start) + interval_;
    // A pointer that does not rest must not keep all else coarse.
    if (!refine_timer_.active()) ArmRefinement();
  }
  Deliver(start);
}

void EncodePump::KeyframeOnDemand() {
  if (!last_keyframe_.has_value()) {
    keyframe_wanted_ = keyframe_now_ = false;  // The first packet will be one.
    return;
  }
  const MonoTime now = loop_.clock().Now();
  MonoTime due = now;
  if (!keyframe_now_) {
    // In a stream the next frame shall be it, not this one again.
    due = *last_keyframe_ + options_.keyframe_request_gap;
    if (slot_.has_value()) due = std::max(due, *slot_ + interval_);
  }
  if (due <= now) {
    if (HasCredit()) EncodeKept(Encoder::Again::kKeyframe);
    return;
  }
  keyframe_timer_ = LoopHandle(loop_, loop_.PostAfter(due - now, [this] {
    keyframe_timer_.Cancel();
    Run();
  }));
}

}  // namespace kine
