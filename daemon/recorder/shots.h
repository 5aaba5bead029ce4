// Shots: what running captures show, as PNGs, made on a thread of their own.
//
// In full colour, from the newest frame that the source lent: the capture keeps
// it where the source can do without the buffer (capture/source_side.h), so
// that a still screen, which sends none, has one too. Where there is none, or
// one that cannot be read here (a DMA-BUF), the answer says so within
// limits::kShotWaitMs, and the daemon takes another way.
//
// Threads: control loop only; the work is done on `pictures`, one picture after
// another. Destroy when idle() (or when all loops are dead).
#pragma once

#include <memory>

#include "absl/functional/any_invocable.h"
#include "daemon/base/fd.h"
#include "daemon/base/loop.h"
#include "daemon/recorder/capture/captures.h"
#include "ipc/link_messages.h"

namespace kine {

class Shots {
 public:
  // `on_taken` gets one answer for each Take().
  Shots(Loop& control, Loop& pictures, Captures& captures,
        absl::AnyInvocable<void(link::ShotTaken taken)> on_taken)
      : control_(control),
        pictures_(pictures),
        captures_(captures),
        on_taken_(std::move(on_taken)) {}

  // `out`: an empty memfd.
  void Take(const link::Shot& shot, UniqueFd out);
  bool idle() const { return taking_ == 0; }

 private:
  struct Job;

  void OnFrame(std::unique_ptr<Job> job, std::shared_ptr<const Frame> frame);
  void Answer(link::ShotTaken taken);

  Loop& control_;
  Loop& pictures_;
  Captures& captures_;
  absl::AnyInvocable<void(link::ShotTaken taken)> on_taken_;
  int taking_ = 0;
};

}  // namespace kine
