#include "encode/encoder_ladder.h"

#include "absl/time/time.h"
#include "daemon/base/limits.h"

namespace kine {

void EncoderLadder::Made(EncoderChoice kind) {
  kind_ = kind;
  failures_ = 0;
  fresh_ = true;
}

void EncoderLadder::Forget(std::deque<MonoTime>& times, MonoTime now) {
  constexpr absl::Duration kWindow = absl::Minutes(1);
  while (!times.empty() && now - times.front() >= kWindow) times.pop_front();
}

EncoderLadder::Step EncoderLadder::Failed(MonoTime now) {
  ++failures_;
  Forget(retries_, now);
  Forget(rebuilds_, now);
  const bool hardware = kind_ == EncoderChoice::kVaapi;
  const bool opened_anew = fresh_ && !rebuilds_.empty();
  if (failures_ == 1 && !opened_anew &&
      retries_.size() < static_cast<size_t>(limits::kEncoderRetriesMax)) {
    retries_.push_back(now);
    return Step::kKeyframe;
  }
  const bool too_often =
      hardware &&
      rebuilds_.size() >= static_cast<size_t>(limits::kEncoderRebuildsMax);
  if (!opened_anew && !too_often) {
    rebuilds_.push_back(now);
    return Step::kRebuild;
  }
  if (hardware && choice_ == EncoderChoice::kAuto) {
    choice_ = EncoderChoice::kSoftware;
    rebuilds_.clear();
    return Step::kSoftware;
  }
  return Step::kGiveUp;
}

}  // namespace kine
