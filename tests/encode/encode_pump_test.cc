// Pace, damage, keyframes, refinement and credit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <utility>
#include <vector>

#include "tests/encode/encode_pump_fixture.h"

namespace kine {
namespace {

TEST_F(EncodePumpTest, TheFirstFrameIsEncodedAsSoonAsItArrives) {
  StartPump();
  world_->Settle();
  EXPECT_EQ(ready_, 1);
  const MonoTime arrival = Now();
  Offer(NewFrame());
  world_->Settle();
  ASSERT_EQ(packets_.size(), 1u);
  EXPECT_EQ(Now(), arrival);
  EXPECT_TRUE(packets_[0].keyframe);
  EXPECT_EQ(packets_[0].arrival, arrival);
  EXPECT_EQ(packets_[0].encode_start, arrival);
  StopAndDrain();
}

TEST_F(EncodePumpTest, AFrameBeforeStartWaitsForIt) {
  world_ = std::make_unique<FakeWorld>(3);
  source_ = &world_->AddLoop("source");
  loop_ = &world_->AddLoop("encode");
  MakePump({});
  Offer(NewFrame());
  world_->Settle();
  EXPECT_TRUE(packets_.empty());
  OnLoop(&EncodePump::Start);
  world_->Settle();
  EXPECT_EQ(packets_.size(), 1u);
  StopAndDrain();
}

TEST_F(EncodePumpTest, ASourceOfTheSameRateLosesNothingToJitter) {
  StartPump();
  for (int i = 0; i < 300; ++i) {
    Offer(NewFrame());
    // 33.3 ms on average, 8 ms early or late.
    world_->Advance(absl::Microseconds(i % 2 == 0 ? 25'334 : 41'334));
  }
  world_->Advance(absl::Seconds(1));
  EXPECT_EQ(metrics_.frames_encoded.value(), 300u);
  EXPECT_EQ(metrics_.frames_lost.value(), 0u);
  StopAndDrain();
}

TEST_F(EncodePumpTest, AFastSourceIsPacedToTheMaximumAndTheNewestWins) {
  StartPump();
  Stream(absl::Seconds(10), absl::Milliseconds(4));
  const size_t encoded = metrics_.frames_encoded.value();
  EXPECT_GE(encoded, 295u);
  EXPECT_LE(encoded, 302u);
  EXPECT_EQ(encoded + metrics_.frames_lost.value(),
            frames_ - static_cast<uint64_t>(lent_));
  for (size_t i = 2; i < packets_.size(); ++i) {
    EXPECT_GE(packets_[i].encode_start - packets_[i - 1].encode_start,
              absl::Microseconds(31'240));
    // What is encoded was the newest then.
    EXPECT_LE(packets_[i].encode_start - packets_[i].arrival,
              absl::Milliseconds(10));
  }
  StopAndDrain();
}

TEST_F(EncodePumpTest, DamageOfReplacedFramesIsMerged) {
  StartPump();
  Offer(NewFrame());
  world_->Settle();
  Frame first = NewFrame();
  first.damage = Damage();
  first.damage.Add(Rect{1, 2, 3, 4});
  Frame second = NewFrame();
  second.damage = Damage();
  second.damage.Add(Rect{40, 40, 2, 2});
  Frame third = NewFrame();
  third.damage = Damage();  // The newest changed nothing itself.
  Offer(std::move(first));
  Offer(std::move(second));
  Offer(std::move(third));
  world_->Advance(absl::Milliseconds(50));
  ASSERT_EQ(log_.calls.size(), 2u);
  EXPECT_EQ(log_.calls[1].buffer_id, frames_);
  const Damage& damage = log_.calls[1].damage;
  EXPECT_FALSE(damage.full());
  EXPECT_THAT(
      std::vector<Rect>(damage.begin(), damage.end()),
      testing::UnorderedElementsAre(Rect{1, 2, 3, 4}, Rect{40, 40, 2, 2}));
  EXPECT_EQ(metrics_.frames_lost.value(), 2u);
  StopAndDrain();
}

TEST_F(EncodePumpTest, DamageInAnotherGeometryIsEverything) {
  StartPump();
  Offer(NewFrame());
  world_->Settle();
  Frame cropped = NewFrame();
  cropped.crop.x = 8;
  Offer(std::move(cropped));
  Offer(NewFrame());
  world_->Advance(absl::Milliseconds(50));
  ASSERT_EQ(log_.calls.size(), 2u);
  EXPECT_TRUE(log_.calls[1].damage.full());
  StopAndDrain();
}

TEST_F(EncodePumpTest, UndamagedFramesAreSkippedAndTakeNoSlot) {
  StartPump();
  Offer(NewFrame());
  world_->Settle();
  world_->Advance(absl::Milliseconds(33));
  for (int i = 0; i < 3; ++i) {
    Frame frame = NewFrame();
    frame.damage = Damage();
    Offer(std::move(frame));
    world_->Settle();
  }
  EXPECT_EQ(metrics_.skipped_undamaged.value(), 3u);
  EXPECT_EQ(lent_, 0);
  Offer(NewFrame());
  world_->Settle();  // Not a moment later.
  EXPECT_EQ(metrics_.frames_encoded.value(), 2u);
  StopAndDrain();
}

TEST_F(EncodePumpTest, AStillScreenIsRefinedOnceAndThenLeftAlone) {
  StartPump();
  Offer(NewFrame());
  world_->Advance(absl::Milliseconds(299));
  EXPECT_EQ(packets_.size(), 1u);
  world_->Advance(absl::Milliseconds(2));
  ASSERT_EQ(packets_.size(), 2u);
  EXPECT_TRUE(packets_[1].refinement);
  EXPECT_EQ(metrics_.refinements.value(), 1u);
  world_->Advance(absl::Minutes(10));
  EXPECT_EQ(packets_.size(), 2u);
  EXPECT_EQ(log_.calls.size(), 2u);
  EXPECT_EQ(loop_->timer_count(), 0u);  // Nothing ticks on a still screen.
  StopAndDrain();
}

TEST_F(EncodePumpTest, MovementPutsTheRefinementOff) {
  StartPump();
  Stream(absl::Seconds(3), absl::Milliseconds(200));
  EXPECT_EQ(metrics_.refinements.value(), 0u);
  // Frames that change nothing do not.
  for (int i = 0; i < 10; ++i) {
    Frame frame = NewFrame();
    frame.damage = Damage();
    Offer(std::move(frame));
    world_->Advance(absl::Milliseconds(33));
  }
  EXPECT_EQ(metrics_.refinements.value(), 1u);
  StopAndDrain();
}

TEST_F(EncodePumpTest, KeyframesComeByTimeWhileThereIsSomethingToEncode) {
  StartPump();
  Stream(absl::Seconds(21), absl::Milliseconds(20));
  EXPECT_EQ(metrics_.keyframes.value(), 5u);  // At 0, 5, 10, 15, 20 s.
  std::optional<MonoTime> last;
  for (const Packet& packet : packets_) {
    if (!packet.keyframe) continue;
    if (last.has_value()) {
      EXPECT_GE(packet.encode_start - *last, absl::Seconds(5));
      EXPECT_LT(packet.encode_start - *last, absl::Milliseconds(5200));
    }
    last = packet.encode_start;
  }
  world_->Advance(absl::Minutes(1));
  EXPECT_EQ(metrics_.keyframes.value(), 5u);
  StopAndDrain();
}

TEST_F(EncodePumpTest, KeyframesAreFewWhereLittleHappens) {
  StartPump();
  const auto keyframes_in = [&](absl::Duration duration,
                                absl::Duration interval) {
    const uint64_t before = metrics_.keyframes.value();
    Stream(duration, interval);
    return metrics_.keyframes.value() - before;
  };
  EXPECT_EQ(keyframes_in(absl::Seconds(1), absl::Seconds(1)), 1u);
  // As many pictures apart as in full motion.
  EXPECT_EQ(keyframes_in(absl::Seconds(151), absl::Milliseconds(100)), 10u);
  // A clock: a picture and its refinement a second.
  const uint64_t seldom = keyframes_in(absl::Minutes(10), absl::Seconds(1));
  EXPECT_GE(seldom, 9u);
  EXPECT_LE(seldom, 10u);
  // What comes after a long stillness begins anew.
  world_->Advance(absl::Minutes(2));
  EXPECT_EQ(keyframes_in(absl::Seconds(3), absl::Seconds(1)), 1u);
  StopAndDrain();
}

TEST_F(EncodePumpTest, AKeyframeOnDemandComesFromTheKeptPicture) {
  StartPump();
  Offer(NewFrame());
  world_->Advance(absl::Seconds(30));
  const size_t before = packets_.size();
  OnLoop(&EncodePump::RequestKeyframe);
  world_->Settle();
  ASSERT_EQ(packets_.size(), before + 1);
  EXPECT_TRUE(packets_.back().keyframe);
  // On the source's time line, 5 ms behind.
  EXPECT_EQ(packets_.back().time, Now() - absl::Milliseconds(5));
  StopAndDrain();
}

TEST_F(EncodePumpTest, KeyframesOnDemandComeAtMostFourTimesASecond) {
  StartPump();
  Offer(NewFrame());
  world_->Advance(absl::Seconds(10));
  const uint64_t before = metrics_.keyframes.value();
  for (int i = 0; i < 299; ++i) {
    OnLoop(&EncodePump::RequestKeyframe);
    world_->Advance(absl::Milliseconds(10));
  }
  EXPECT_EQ(metrics_.keyframes.value() - before, 12u);
  world_->Advance(absl::Seconds(10));
  EXPECT_EQ(metrics_.keyframes.value() - before, 13u);  // The last wish.
  StopAndDrain();
}

TEST_F(EncodePumpTest, AKeyframeNowDoesNotWaitForTheGap) {
  StartPump();
  Offer(NewFrame());
  world_->Settle();
  OnLoop(&EncodePump::RequestKeyframeNow);
  world_->Settle();
  EXPECT_EQ(metrics_.keyframes.value(), 2u);
  OnLoop(&EncodePump::RequestKeyframe);
  world_->Settle();
  EXPECT_EQ(metrics_.keyframes.value(), 2u);
  StopAndDrain();
}

TEST_F(EncodePumpTest, CatchingUpEncodesWhatWaitsForThePaceAndGoesOn) {
  StartPump(1, {.fps_max = 1});
  Stream(absl::Milliseconds(200), absl::Milliseconds(50));
  ASSERT_EQ(packets_.size(), 1u);
  size_t packets_then = 0;
  const int flushes = log_.flushes;
  loop_->Post([&] { pump_->CatchUp([&] { packets_then = packets_.size(); }); });
  world_->Settle();
  EXPECT_EQ(packets_then, 2u);
  EXPECT_EQ(log_.flushes, flushes + 1);
  EXPECT_EQ(log_.calls.back().buffer_id, frames_);
  // The pace is kept on average.
  Stream(absl::Seconds(3), absl::Milliseconds(50));
  EXPECT_NEAR(static_cast<double>(metrics_.frames_encoded.value()), 4, 1);
  StopAndDrain();
}

TEST_F(EncodePumpTest, CatchingUpEndsWithoutCreditInAPauseAndAtTheStop) {
  return_credits_ = false;
  StartPump(1, {.queue_packets = 1});
  Stream(absl::Milliseconds(200), absl::Milliseconds(50));
  int caught_up = 0;
  const auto catch_up = [&] {
    loop_->Post([&] { pump_->CatchUp([&] { ++caught_up; }); });
  };
  catch_up();
  world_->Settle();
  EXPECT_EQ(caught_up, 1);
  EXPECT_EQ(packets_.size(), 1u);
  OnLoop(&EncodePump::Pause);
  catch_up();
  world_->Settle();
  EXPECT_EQ(caught_up, 2);
  catch_up();
  StopAndDrain();
  EXPECT_EQ(caught_up, 3);
}

TEST_F(EncodePumpTest, AKeyframeOnDemandRidesOnTheNextFrame) {
  StartPump();
  Offer(NewFrame());
  world_->Advance(absl::Milliseconds(990));
  OnLoop(&EncodePump::RequestKeyframe);
  world_->Advance(absl::Milliseconds(20));
  Stream(absl::Seconds(1), absl::Milliseconds(33));
  EXPECT_EQ(metrics_.keyframes.value(), 2u);
  StopAndDrain();
}

TEST_F(EncodePumpTest, WithoutCreditNoFrameIsTakenAndNothingIsLostAfterwards) {
  return_credits_ = false;
  StartPump(1, {.queue_packets = 3});
  Stream(absl::Seconds(1), absl::Milliseconds(40));
  EXPECT_EQ(packets_.size(), 3u);
  EXPECT_EQ(metrics_.credit_stalls.value(), 1u);
  EXPECT_EQ(lent_, 1);  // The newest waits.
  Return(1, 100);
  world_->Settle();
  ASSERT_EQ(packets_.size(), 4u);
  EXPECT_EQ(log_.calls.back().buffer_id, frames_);
  Return(3, 300);
  world_->Advance(absl::Seconds(1));
  EXPECT_EQ(metrics_.refinements.value(), 1u);
  StopAndDrain();
}

TEST_F(EncodePumpTest, BytesAreCreditToo) {
  return_credits_ = false;
  log_.packet_bytes = 20u << 20;
  StartPump();
  Stream(absl::Seconds(1), absl::Milliseconds(40));
  // 20, 40 MiB are out; a third packet might be 32 MiB.
  EXPECT_EQ(packets_.size(), 2u);
  Return(1, 20u << 20);
  world_->Settle();
  EXPECT_EQ(packets_.size(), 3u);
  StopAndDrain();
}

TEST_F(EncodePumpTest, ARefinementWaitsForCredit) {
  return_credits_ = false;
  StartPump(1, {.queue_packets = 1});
  Offer(NewFrame());
  world_->Advance(absl::Seconds(2));
  EXPECT_EQ(packets_.size(), 1u);
  Return(1, 100);
  world_->Settle();
  ASSERT_EQ(packets_.size(), 2u);
  EXPECT_TRUE(packets_[1].refinement);
  StopAndDrain();
}

TEST_F(EncodePumpTest, TimesAlwaysIncreaseByAMediaTick) {
  StartPump();
  for (int i = 0; i < 20; ++i) {
    Frame frame = NewFrame();
    // A source whose stamps jump back and stand still.
    frame.time = Now() - absl::Milliseconds(i % 3 * 50);
    Offer(std::move(frame));
    world_->Advance(absl::Milliseconds(i % 5 == 4 ? 400 : 34));
  }
  ASSERT_GT(packets_.size(), 20u);
  for (size_t i = 1; i < packets_.size(); ++i) {
    EXPECT_GE((packets_[i].time - packets_[i - 1].time) / absl::Nanoseconds(1),
              11'111);
  }
  StopAndDrain();
}

TEST_F(EncodePumpTest, TheByteLimitReachesTheEncoder) {
  StartPump();
  Offer(NewFrame());
  world_->Settle();
  loop_->Post([this] { pump_->SetPacketBytesMax(5000); });
  world_->Advance(absl::Milliseconds(100));
  Offer(NewFrame());
  world_->Settle();
  EXPECT_EQ(log_.calls[0].max_bytes, limits::kPacketBytesMax);
  EXPECT_EQ(log_.calls[1].max_bytes, 5000u);
  StopAndDrain();
}

TEST_F(EncodePumpTest, APauseEncodesNothingAndEndsWithAKeyframeOfTheNewest) {
  StartPump();
  Offer(NewFrame());
  world_->Settle();
  OnLoop(&EncodePump::Pause);
  world_->Settle();
  Stream(absl::Milliseconds(400), absl::Milliseconds(40));
  EXPECT_EQ(packets_.size(), 1u);
  EXPECT_EQ(lent_, 1);  // The newest waits.
  EXPECT_EQ(metrics_.frames_lost.value(), 0u);
  EXPECT_EQ(metrics_.skipped_paused.value(), 9u);

  OnLoop(&EncodePump::Resume);
  world_->Settle();

  // At once, though the last keyframe is not a second old.
  ASSERT_EQ(packets_.size(), 2u);
  EXPECT_TRUE(packets_[1].keyframe);
  Offer(NewFrame());
  world_->Advance(absl::Milliseconds(40));
  ASSERT_EQ(packets_.size(), 3u);
  EXPECT_FALSE(packets_[2].keyframe);
  StopAndDrain();
}

TEST_F(EncodePumpTest, APauseOfAStillScreenEndsWithAKeyframeOfTheKeptPicture) {
  StartPump();
  Offer(NewFrame());
  world_->Settle();
  OnLoop(&EncodePump::Pause);
  world_->Advance(absl::Seconds(5));
  EXPECT_EQ(packets_.size(), 1u);  // No refinement either.
  OnLoop(&EncodePump::Resume);
  OnLoop(&EncodePump::Resume);
  world_->Settle();
  ASSERT_EQ(packets_.size(), 2u);
  EXPECT_TRUE(packets_[1].keyframe);
  StopAndDrain();
}

TEST_F(EncodePumpTest, AStillScreenGoesOnForThoseWhoWatch) {
  StartPump();
  Offer(NewFrame());
  world_->Settle();
  loop_->Post([this] { pump_->SetWatched(true); });
  world_->Advance(absl::Milliseconds(2'100));

  // The refinement at 300 ms, then every 500 ms.
  EXPECT_EQ(metrics_.repeated.value(), 3u);
  ASSERT_EQ(packets_.size(), 5u);
  EXPECT_EQ(packets_[4].time - packets_[3].time, absl::Milliseconds(500));
  EXPECT_FALSE(packets_[4].keyframe);
  Offer(NewFrame());
  world_->Settle();
  EXPECT_EQ(packets_.size(), 6u) << "the pace counts pictures of the source";

  OnLoop(&EncodePump::Pause);
  world_->Advance(absl::Seconds(2));
  EXPECT_EQ(packets_.size(), 6u);
  OnLoop(&EncodePump::Resume);
  world_->Advance(absl::Milliseconds(600));
  EXPECT_EQ(metrics_.repeated.value(), 4u);
  loop_->Post([this] { pump_->SetWatched(false); });
  world_->Advance(absl::Seconds(2));
  EXPECT_EQ(metrics_.repeated.value(), 4u);
  StopAndDrain();
}

TEST_F(EncodePumpTest, WhoWatchesWaitsForTheDiskAsAllDo) {
  EncodePumpOptions options;
  options.queue_packets = 2;
  return_credits_ = false;
  StartPump(1, options);
  Offer(NewFrame());
  loop_->Post([this] { pump_->SetWatched(true); });
  world_->Advance(absl::Seconds(3));
  EXPECT_EQ(packets_.size(), 2u);

  Return(1, packets_[0].data.size());
  world_->Settle();

  EXPECT_EQ(packets_.size(), 3u);
  StopAndDrain();
}

TEST_F(EncodePumpTest, AStopWhilePausedEncodesNothingMore) {
  StartPump();
  Offer(NewFrame());
  world_->Settle();
  OnLoop(&EncodePump::Pause);
  Offer(NewFrame());
  world_->Settle();
  StopAndDrain();
  EXPECT_EQ(packets_.size(), 1u);
  EXPECT_EQ(metrics_.skipped_paused.value(), 1u);
  EXPECT_EQ(metrics_.frames_lost.value(), 0u);
}

}  // namespace
}  // namespace kine
