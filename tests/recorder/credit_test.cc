#include "daemon/recorder/capture/credit.h"

#include <gtest/gtest.h>

namespace kine {
namespace {

using Amount = SharedCredit::Amount;

class SharedCreditTest : public testing::Test {
 protected:
  void Hand(uint64_t bytes, std::initializer_list<SharedCredit::Holder> to) {
    credit_.Count(bytes);
    for (const SharedCredit::Holder holder : to) credit_.Hand(holder, bytes);
  }

  const int a_ = 0;
  const int b_ = 0;
  SharedCredit credit_;
};

TEST_F(SharedCreditTest, APacketCountsUntilTheSlowestHasReturnedIt) {
  credit_.Join(&a_);
  credit_.Join(&b_);
  Hand(100, {&a_, &b_});
  Hand(50, {&a_, &b_});
  credit_.Return(&a_, 2, 150);
  EXPECT_EQ(credit_.TakeFreed(), Amount());
  credit_.Return(&b_, 1, 100);
  EXPECT_EQ(credit_.TakeFreed(), (Amount{1, 100}));
  EXPECT_EQ(credit_.TakeFreed(), Amount());
  credit_.Return(&b_, 1, 50);
  EXPECT_EQ(credit_.TakeFreed(), (Amount{1, 50}));
}

TEST_F(SharedCreditTest, WhoLeavesReturnsAllThatItHolds) {
  credit_.Join(&a_);
  credit_.Join(&b_);
  Hand(10, {&a_, &b_});
  Hand(10, {&a_, &b_});
  credit_.Return(&a_, 1, 10);
  credit_.Leave(&b_);
  EXPECT_EQ(credit_.TakeFreed(), (Amount{1, 10}));
  credit_.Return(&b_, 2, 20);  // On its way when it left.
  EXPECT_EQ(credit_.TakeFreed(), Amount());
}

TEST_F(SharedCreditTest, APacketForNobodyIsFreeAtOnce) {
  Hand(10, {});
  EXPECT_EQ(credit_.TakeFreed(), (Amount{1, 10}));
}

// Else two that hold half of the queue each would hold up the pump, and neither
// would know that its disk is why.
TEST_F(SharedCreditTest, TwoThatHoldDifferentPacketsDoNotAddUp) {
  credit_.Join(&a_);
  credit_.Join(&b_);
  for (int i = 0; i < 5; ++i) Hand(10, {&a_});
  EXPECT_EQ(credit_.TakeFreed(), Amount());
  for (int i = 0; i < 5; ++i) Hand(10, {&b_});
  EXPECT_EQ(credit_.TakeFreed(), (Amount{5, 50}));
}

}  // namespace
}  // namespace kine
