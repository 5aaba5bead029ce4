// HardwareTrust: whether recordings may still encode on the GPU after recorders
// have died of it.
//
// A driver that hangs or crashes takes its recorder along. After
// limits::kHardwareDeathsMax such deaths in a row, recordings that would choose
// by themselves (`auto`) get the software encoder for limits::kHardwareRetryMs;
// then one more death is enough again. A recording that ends well with
// hardware clears it all.
//
// Pure: time comes with the calls. Control loop only.
#pragma once

#include <optional>
#include <string>

#include "daemon/base/clock.h"

namespace kine {

class HardwareTrust {
 public:
  void Died(MonoTime now);
  void EndedWell();

  // Why `auto` is software now; nothing when it is not.
  std::optional<std::string> Refusal(MonoTime now) const;

 private:
  int deaths_ = 0;  // In a row.
  MonoTime last_death_;
};

}  // namespace kine
