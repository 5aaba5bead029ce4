// EncoderLadder: what to try next when an encoder fails, and how often.
//
//   the same frame as a keyframe -> an encoder (and device) opened anew ->
//   the software encoder -> give up
//
// An encoder that fails on its first picture is not opened anew again. Hardware
// that is opened anew more often than limits::kEncoderRebuildsMax a minute is
// given up for the rest of the session, and one that needs a keyframe more
// often than limits::kEncoderRetriesMax a minute is opened anew instead. Only
// with kAuto software follows hardware.
//
// Pure: time comes with the calls. Encode thread only.
#pragma once

#include <deque>

#include "daemon/base/clock.h"
#include "encode/create_encoder.h"

namespace kine {

class EncoderLadder {
 public:
  enum class Step { kKeyframe, kRebuild, kSoftware, kGiveUp };

  explicit EncoderLadder(EncoderChoice choice) : choice_(choice) {}

  // What the next encoder may be.
  EncoderChoice choice() const { return choice_; }

  // A new encoder, of this kind.
  void Made(EncoderChoice kind);
  // It gave a picture.
  void Worked() {
    failures_ = 0;
    fresh_ = false;
  }
  // It failed, at `now`. kSoftware also changes choice().
  Step Failed(MonoTime now);

 private:
  static void Forget(std::deque<MonoTime>& times, MonoTime now);

  EncoderChoice choice_;
  EncoderChoice kind_ = EncoderChoice::kSoftware;
  int failures_ = 0;  // Since it last worked, of this encoder.
  bool fresh_ = true;
  std::deque<MonoTime> retries_;  // Of the last minute.
  std::deque<MonoTime> rebuilds_;
};

}  // namespace kine
