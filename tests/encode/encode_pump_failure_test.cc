// Failures, stops, and everything at once under seeds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <utility>

#include "tests/encode/encode_pump_fixture.h"

namespace kine {
namespace {

TEST_F(EncodePumpTest, AFailedCallIsTriedAgainAsAKeyframeWithTheSameFrame) {
  log_.fail_calls = {1};
  StartPump();
  Offer(NewFrame());
  world_->Advance(absl::Milliseconds(100));
  Offer(NewFrame());
  world_->Settle();
  ASSERT_EQ(log_.calls.size(), 3u);
  EXPECT_EQ(log_.calls[2].buffer_id, log_.calls[1].buffer_id);
  EXPECT_TRUE(log_.calls[2].keyframe);
  EXPECT_EQ(packets_.size(), 2u);
  EXPECT_EQ(log_.encoders_made, 1);
  EXPECT_EQ(metrics_.encoder_errors.value(), 1u);
  EXPECT_FALSE(failed_.has_value());
  StopAndDrain();
}

TEST_F(EncodePumpTest, ASecondFailureMakesANewEncoder) {
  log_.fail_calls = {1, 2};
  StartPump();
  Offer(NewFrame());
  world_->Advance(absl::Milliseconds(100));
  Offer(NewFrame());
  world_->Settle();
  EXPECT_EQ(log_.encoders_made, 2);
  EXPECT_EQ(ready_, 2);
  ASSERT_EQ(packets_.size(), 2u);
  EXPECT_TRUE(packets_[1].keyframe);
  EXPECT_EQ(metrics_.encoder_rebuilds.value(), 1u);
  StopAndDrain();
}

TEST_F(EncodePumpTest, AFrameThatCannotBeImportedIsLostAndTold) {
  log_.refused_modifiers = {7};
  StartPump();
  Offer(NewFrame());
  world_->Advance(absl::Milliseconds(100));
  for (int i = 0; i < 2; ++i) {
    Frame frame = NewFrame();
    frame.format.modifier = 7;
    frame.planes[0].fd = 0;
    Offer(std::move(frame));
    world_->Advance(absl::Milliseconds(100));
  }
  EXPECT_THAT(refused_, testing::ElementsAre(7u, 7u));
  EXPECT_EQ(lent_, 0);
  EXPECT_EQ(metrics_.frames_encoded.value(), 1u);
  EXPECT_EQ(metrics_.imports_refused.value(), 2u);
  EXPECT_EQ(metrics_.encoder_errors.value(), 0u);
  Offer(NewFrame());
  world_->Advance(absl::Milliseconds(100));
  EXPECT_EQ(metrics_.frames_encoded.value(), 2u);
  StopAndDrain();
}

TEST_F(EncodePumpTest, AThirdFailureIsFinal) {
  log_.fail_calls = {1, 2, 3};
  StartPump();
  Stream(absl::Seconds(1), absl::Milliseconds(100));
  ASSERT_TRUE(failed_.has_value());
  EXPECT_THAT(std::string(failed_->message()), testing::HasSubstr("the fake"));
  EXPECT_EQ(log_.calls.size(), 4u);
  EXPECT_EQ(log_.encoders_alive, 0);
  EXPECT_EQ(lent_, 0);  // Later frames go straight back.
  OnLoop(&EncodePump::RequestKeyframe);
  world_->Settle();
  StopAndDrain();
  EXPECT_EQ(log_.encoders_made, 2);
}

TEST_F(EncodePumpTest, HardwareThatStaysBrokenEndsInSoftwareWithTheSameFrame) {
  log_.has_hardware = true;
  log_.fail_hardware_calls = {1, 2, 3};
  StartPump();
  Offer(NewFrame());
  world_->Advance(absl::Milliseconds(100));
  Offer(NewFrame());
  world_->Settle();
  EXPECT_FALSE(failed_.has_value());
  EXPECT_EQ(names_, (std::vector<std::string>{"fake hardware", "fake hardware",
                                              "fake"}));
  ASSERT_EQ(fallbacks_.size(), 3u);
  EXPECT_EQ(fallbacks_[0].from, "fake hardware");
  EXPECT_EQ(fallbacks_[0].to, "fake hardware, keyframe");
  EXPECT_EQ(fallbacks_[1].to, "fake hardware, opened anew");
  EXPECT_EQ(fallbacks_[2].to, "software");
  for (const EncodeFallback& step : fallbacks_)
    EXPECT_EQ(step.reason.message(), "the fake failed");
  // One packet for each frame, and the second a keyframe.
  ASSERT_EQ(packets_.size(), 2u);
  EXPECT_TRUE(packets_[1].keyframe);
  ASSERT_EQ(log_.calls.size(), 5u);
  EXPECT_EQ(log_.calls[4].buffer_id, log_.calls[1].buffer_id);
  // From now on software, also for a new rebuild.
  log_.fail_calls = {5, 6};
  world_->Advance(absl::Milliseconds(100));
  Offer(NewFrame());
  world_->Settle();
  EXPECT_EQ(names_.back(), "fake");
  EXPECT_EQ(names_.size(), 4u);
  StopAndDrain();
}

TEST_F(EncodePumpTest, VaapiAloneFailsRatherThanFallBack) {
  log_.has_hardware = true;
  log_.fail_hardware_calls = {1, 2, 3};
  StartPump(1, {.encoder = EncoderChoice::kVaapi});
  Stream(absl::Milliseconds(300), absl::Milliseconds(100));
  EXPECT_TRUE(failed_.has_value());
  EXPECT_EQ(names_.back(), "fake hardware");
  StopAndDrain();
}

TEST_F(EncodePumpTest, AnEncoderThatCannotBeMadeIsAFailure) {
  log_.fail_encoders = {0};
  StartPump();
  Offer(NewFrame());
  world_->Settle();
  EXPECT_TRUE(failed_.has_value());
  EXPECT_EQ(ready_, 0);
  EXPECT_EQ(lent_, 0);
  StopAndDrain();
  EXPECT_EQ(log_.encoders_made, 1);
}

TEST_F(EncodePumpTest, AFailedRefinementIsRepairedByAKeyframe) {
  log_.fail_calls = {1};
  StartPump();
  Offer(NewFrame());
  world_->Advance(absl::Seconds(1));
  ASSERT_EQ(packets_.size(), 2u);
  EXPECT_TRUE(packets_[1].keyframe);
  StopAndDrain();
}

TEST_F(EncodePumpTest, StopEncodesTheWaitingFrameAndNeverWaitsForAnother) {
  StartPump();
  Offer(NewFrame());
  world_->Settle();
  Offer(NewFrame());
  world_->Settle();
  EXPECT_EQ(packets_.size(), 1u);  // By the pace it would wait.
  StopAndDrain();
  EXPECT_EQ(packets_.size(), 2u);
  EXPECT_EQ(log_.flushes, 1);
  Offer(NewFrame());  // Late: just given back.
  world_->Settle();
  EXPECT_EQ(packets_.size(), 2u);
  EXPECT_EQ(lent_, 0);
}

TEST_F(EncodePumpTest, StopWithoutAnyFrameDrainsAtOnce) {
  StartPump();
  StopAndDrain();
  EXPECT_TRUE(packets_.empty());
}

TEST_F(EncodePumpTest, StopWithoutCreditLosesOnlyTheWaitingFrame) {
  return_credits_ = false;
  StartPump(1, {.queue_packets = 1});
  Stream(absl::Milliseconds(100), absl::Milliseconds(50));
  StopAndDrain();
  EXPECT_EQ(packets_.size(), 1u);
  EXPECT_EQ(metrics_.frames_lost.value(), 1u);
  EXPECT_EQ(lent_, 0);
}

// Everything at once, in many orders: what must hold in each.
class EncodePumpSeeds : public EncodePumpTest,
                        public testing::WithParamInterface<uint64_t> {};

TEST_P(EncodePumpSeeds, KeepsItsPromisesInAnyOrderOfEvents) {
  return_credits_ = false;
  StartPump(GetParam(), {.queue_packets = 4});
  log_.during_call = [this] {
    if (world_->Chance(0.1)) {
      Frame frame = NewFrame();
      auto held = std::make_shared<Frame>(std::move(frame));
      source_->Post([this, held] { pump_->Offer(std::move(*held)); });
    }
  };
  for (size_t i = 0; i < 20; ++i) {
    if (world_->Chance(0.5)) log_.fail_calls.insert(world_->Random(400) * 3);
  }
  size_t returned = 0;
  for (int step = 0; step < 400; ++step) {
    switch (world_->Random(8)) {
      case 0:
        world_->Advance(
            absl::Milliseconds(static_cast<int64_t>(world_->Random(500))));
        break;
      case 1:
        OnLoop(&EncodePump::RequestKeyframe);
        break;
      case 2:
        source_->set_slow(world_->Chance(0.5));
        loop_->set_slow(world_->Chance(0.5));
        break;
      case 3:
      case 4:
        for (; returned < packets_.size(); ++returned) {
          Return(1, packets_[returned].data.size());
        }
        break;
      default: {
        Frame frame = NewFrame();
        if (world_->Chance(0.3)) frame.damage = Damage();
        Offer(std::move(frame));
        world_->Advance(
            absl::Milliseconds(static_cast<int64_t>(world_->Random(40))));
        break;
      }
    }
    world_->Settle();
    ASSERT_LE(packets_.size() - returned, 4u);  // Credit.
    ASSERT_LE(lent_, 2);                        // Mailbox and one on the way.
  }
  log_.during_call = nullptr;
  StopAndDrain();
  EXPECT_EQ(metrics_.packets.value(), packets_.size());
  EXPECT_EQ(metrics_.frames_offered.value(), frames_);
  EXPECT_FALSE(failed_.has_value());
  ASSERT_FALSE(packets_.empty());
  EXPECT_TRUE(packets_[0].keyframe);
  for (size_t i = 1; i < packets_.size(); ++i) {
    EXPECT_GT(packets_[i].time, packets_[i - 1].time);
  }
  // Every frame ended in exactly one way.
  EXPECT_EQ(metrics_.frames_encoded.value() +
                metrics_.skipped_undamaged.value() +
                metrics_.frames_lost.value(),
            frames_);
}

INSTANTIATE_TEST_SUITE_P(ManySeeds, EncodePumpSeeds,
                         testing::Range(uint64_t{1}, uint64_t{101}));

}  // namespace
}  // namespace kine
