#include "daemon/control/hardware_trust.h"

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "daemon/base/limits.h"

namespace kine {
namespace {

constexpr absl::Duration kRetry = absl::Milliseconds(limits::kHardwareRetryMs);

}  // namespace

void HardwareTrust::Died(MonoTime now) {
  ++deaths_;
  last_death_ = now;
}

void HardwareTrust::EndedWell() { deaths_ = 0; }

std::optional<std::string> HardwareTrust::Refusal(MonoTime now) const {
  if (deaths_ < limits::kHardwareDeathsMax || now - last_death_ >= kRetry)
    return std::nullopt;
  return absl::StrCat("hardware encoding hung or crashed ", deaths_,
                      " recorders in a row; it is tried again in ",
                      absl::FormatDuration(absl::Ceil(
                          kRetry - (now - last_death_), absl::Seconds(1))));
}

}  // namespace kine
