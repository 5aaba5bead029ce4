#include "daemon/control/hardware_trust.h"

#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "daemon/base/limits.h"

namespace kine {
namespace {

MonoTime At(int64_t seconds) {
  return MonoTime::FromNanos(seconds * 1'000'000'000);
}

TEST(HardwareTrustTest, OneDeathIsNoReason) {
  HardwareTrust trust;
  EXPECT_FALSE(trust.Refusal(At(0)).has_value());
  trust.Died(At(1));
  EXPECT_FALSE(trust.Refusal(At(1)).has_value());
}

TEST(HardwareTrustTest, DeathsInARowAreOneForAWhile) {
  HardwareTrust trust;
  for (int i = 0; i < limits::kHardwareDeathsMax; ++i) trust.Died(At(i));
  EXPECT_EQ(trust.Refusal(At(61)).value_or(""),
            "hardware encoding hung or crashed 2 recorders in a row; it is "
            "tried again in 9m");
  EXPECT_TRUE(trust.Refusal(At(600)).has_value());
  EXPECT_FALSE(trust.Refusal(At(601)).has_value());
  // It is on probation.
  trust.Died(At(700));
  EXPECT_TRUE(trust.Refusal(At(701)).has_value());
}

TEST(HardwareTrustTest, AGoodEndClearsThem) {
  HardwareTrust trust;
  trust.Died(At(1));
  trust.EndedWell();
  trust.Died(At(2));
  EXPECT_FALSE(trust.Refusal(At(3)).has_value());
}

}  // namespace
}  // namespace kine
