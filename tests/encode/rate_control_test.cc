#include "encode/rate_control.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace kine {
namespace {

using Kind = RateControl::Kind;
constexpr MonoTime kStart = MonoTime::FromNanos(1'000'000'000);

// A picture whose macroblocks take `bits` each at QP 24, halved by every 6.
uint64_t SizeOf(double bits, uint32_t macroblocks, int qp) {
  return static_cast<uint64_t>(bits * macroblocks * std::exp2((24 - qp) / 6.0) /
                               8) +
         10;
}

struct Outcome {
  double bits = 0;
  int worst_qp = 0;
  int last_qp = 0;
};

// `seconds` of 30 frames a second, the first a keyframe.
Outcome Simulate(RateControl& rate, double bits_per_macroblock, int seconds,
                 MonoTime& time) {
  Outcome run;
  for (int i = 0; i < 30 * seconds; ++i) {
    const Kind kind = i == 0 ? Kind::kKeyframe : Kind::kChange;
    const int qp = rate.QpFor(kind, time, 8160);
    const uint64_t bytes = SizeOf(bits_per_macroblock, 8160, qp);
    rate.Coded(kind, time, 8160, qp, bytes);
    run.bits += static_cast<double>(bytes) * 8;
    run.worst_qp = std::max(run.worst_qp, qp);
    run.last_qp = qp;
    time = time + absl::Milliseconds(33);
  }
  return run;
}

TEST(RateControl, QualityIsOneQpAndMoreIsFiner) {
  int last = RateControl::kQpMax;
  for (int quality = 0; quality <= 100; quality += 10) {
    RateControl rate(EncoderConfig{.quality = quality});
    const int qp = rate.QpFor(Kind::kKeyframe, kStart, 8160);
    EXPECT_LT(qp, last);
    last = qp;
    // Whatever it costs.
    rate.Coded(Kind::kKeyframe, kStart, 8160, qp, 10'000'000);
    EXPECT_EQ(rate.QpFor(Kind::kChange, kStart, 8160), qp);
  }
  EXPECT_EQ(RateControl(EncoderConfig{}).QpFor(Kind::kChange, kStart, 1), 24);
  EXPECT_EQ(
      RateControl(EncoderConfig{.profile = EncoderConfig::Profile::kStudio})
          .QpFor(Kind::kChange, kStart, 1),
      22);
}

TEST(RateControl, ARefinementIsEightFinerButNeverBelowTheFinest) {
  RateControl rate{EncoderConfig{}};
  EXPECT_EQ(rate.RefinementQp(kStart, 8160, 0), 16);
  RateControl best(EncoderConfig{.quality = 100});
  EXPECT_EQ(best.RefinementQp(kStart, 8160, 0), RateControl::kQpMin);
}

TEST(RateControl, ARefinementThatWouldNotFitIsLeftOut) {
  RateControl rate{EncoderConfig{}};
  EXPECT_EQ(rate.RefinementQp(kStart, 8160, 1000), std::nullopt);
  EXPECT_NE(rate.RefinementQp(kStart, 8, 1000), std::nullopt);
  RateControl by_rate(EncoderConfig{.bitrate = 100'000});
  EXPECT_EQ(by_rate.RefinementQp(kStart, 8160, 0), std::nullopt);
}

TEST(RateControl, TheBitRateIsKeptForEveryContent) {
  for (uint64_t bitrate : {500'000u, 2'000'000u, 8'000'000u}) {
    for (double content : {1.0, 30.0, 430.0, 2000.0}) {
      RateControl rate(EncoderConfig{.bitrate = bitrate});
      MonoTime time = kStart;
      const Outcome run = Simulate(rate, content, 30, time);
      const auto per_second = static_cast<double>(bitrate);
      const double coarsest =
          static_cast<double>(SizeOf(content, 8160, 51)) * 8 * 30;
      if (coarsest > per_second) continue;  // No QP can keep it.
      // One bucket, and what the first keyframe may overfill it by.
      EXPECT_LT(run.bits, per_second * (30 * 0.99 + 3.2)) << bitrate << content;
      const double finest =
          static_cast<double>(SizeOf(content, 8160, 24)) * 8 * 30 * 30;
      EXPECT_GT(run.bits, 0.8 * std::min(per_second * 30 * 0.99, finest))
          << bitrate << " " << content;
    }
  }
}

TEST(RateControl, AStillScreenPaysForALaterBurst) {
  RateControl rate(EncoderConfig{.bitrate = 1'000'000});
  MonoTime time = kStart;
  Simulate(rate, 430, 5, time);
  const int busy = rate.QpFor(Kind::kChange, time, 2000);
  const int rested = rate.QpFor(Kind::kChange, time + absl::Seconds(3), 2000);
  EXPECT_LE(rested, busy);
  // The way back is one step a picture.
  EXPECT_GE(rested, busy - 1);
  time = time + absl::Seconds(3);
  int qp = rested;
  for (int i = 0; i < 40; ++i) {
    rate.Coded(Kind::kChange, time, 2000, qp, 100);
    time = time + absl::Seconds(1);
    const int next = rate.QpFor(Kind::kChange, time, 2000);
    EXPECT_GE(next, qp - 1);
    qp = next;
  }
  EXPECT_EQ(qp, 24);
}

TEST(RateControl, KeyframesMayTakeMoreThanChanges) {
  RateControl rate(EncoderConfig{.bitrate = 600'000});
  const int change = rate.QpFor(Kind::kChange, kStart, 8160);
  const int keyframe = rate.QpFor(Kind::kKeyframe, kStart, 8160);
  EXPECT_LT(keyframe, change);
}

TEST(RateControl, AFewMacroblocksSayNothingOfTheContent) {
  RateControl rate(EncoderConfig{.bitrate = 8'000'000});
  const int before = rate.QpFor(Kind::kChange, kStart, 8160);
  rate.Coded(Kind::kChange, kStart, 15, before, 15 * 400);  // Mostly headers.
  const MonoTime later = kStart + absl::Seconds(2);
  EXPECT_EQ(rate.QpFor(Kind::kChange, later, 8160), before);
  rate.Coded(Kind::kChange, later, 16, before, 16 * 400);
  EXPECT_GT(rate.QpFor(Kind::kChange, later + absl::Seconds(2), 8160), before);
}

TEST(RateControl, TheQpNeverLeavesItsRange) {
  RateControl rate(EncoderConfig{.bitrate = 1});
  MonoTime time = kStart;
  const Outcome run = Simulate(rate, 5000, 3, time);
  EXPECT_EQ(run.worst_qp, RateControl::kQpMax);
}

TEST(RateControl, ACoarserTryFitsByTheModelAndEndsAtTheCoarsest) {
  for (double content : {10.0, 430.0, 3000.0}) {
    const uint64_t wanted = SizeOf(content, 8160, 24) / 3;
    const int qp =
        RateControl::CoarserQp(24, SizeOf(content, 8160, 24), wanted);
    EXPECT_LE(SizeOf(content, 8160, qp), wanted);
    EXPECT_LE(qp, 36);
  }
  EXPECT_EQ(RateControl::CoarserQp(24, 1'000'000, 1), RateControl::kQpMax);
  EXPECT_GT(RateControl::CoarserQp(24, 1001, 1000), 24);
}

TEST(RateControl, AHeldQpRelaxesWithEachKeyframe) {
  RateControl rate{EncoderConfig{}};
  rate.HoldAtLeast(32);
  EXPECT_EQ(rate.QpFor(Kind::kChange, kStart, 10), 32);
  EXPECT_EQ(rate.RefinementQp(kStart, 10, 0), 32);
  rate.Coded(Kind::kChange, kStart, 10, 32, 10);
  EXPECT_EQ(rate.QpFor(Kind::kChange, kStart, 10), 32);
  for (int expected : {29, 26, 24, 24}) {
    rate.Coded(Kind::kKeyframe, kStart, 8160, 32, 10);
    EXPECT_EQ(rate.QpFor(Kind::kKeyframe, kStart, 8160), expected);
  }
  EXPECT_EQ(rate.RefinementQp(kStart, 10, 0), 16);
}

TEST(RateControl, ThePictureAgainIsPlannedByWhatIsCoarse) {
  using Again = Encoder::Again;
  RateControl rate(EncoderConfig{});
  const auto skip = rate.PlanAgain(Again::kSkip, kStart, 5, 100, 0);
  ASSERT_TRUE(skip.has_value());
  EXPECT_EQ(skip->kind, Kind::kChange);
  EXPECT_EQ(skip->macroblocks, 0u);
  EXPECT_EQ(skip->qp, RateControl::kQpMax);

  const auto refine = rate.PlanAgain(Again::kRefine, kStart, 5, 100, 0);
  ASSERT_TRUE(refine.has_value());
  EXPECT_EQ(refine->kind, Kind::kRefinement);
  EXPECT_EQ(refine->macroblocks, 5u);
  EXPECT_EQ(refine->qp, 16);
  EXPECT_EQ(refine->arrival, kStart);
  EXPECT_FALSE(rate.PlanAgain(Again::kRefine, kStart, 0, 100, 0).has_value());
  EXPECT_FALSE(rate.PlanAgain(Again::kRefine, kStart, 99, 100, 9).has_value());

  // A keyframe of what was refined stays as fine, where there is room.
  const auto coarse = rate.PlanAgain(Again::kKeyframe, kStart, 5, 100, 0);
  EXPECT_EQ(coarse->qp, 24);
  EXPECT_FALSE(coarse->fine);
  const auto fine = rate.PlanAgain(Again::kKeyframe, kStart, 0, 100, 0);
  EXPECT_EQ(fine->macroblocks, 100u);
  EXPECT_EQ(fine->qp, 16);
  EXPECT_TRUE(fine->fine);
  const auto tight = rate.PlanAgain(Again::kKeyframe, kStart, 0, 100, 9);
  EXPECT_EQ(tight->qp, 24);
  EXPECT_FALSE(tight->fine);
}

TEST(RateControl, WhatDoesNotFitIsTriedCoarserAndInTheEndHandedOut) {
  RateControl::Job job;
  job.qp = 20;
  job.fine = true;
  EXPECT_TRUE(RateControl::Fits(job, 1u << 30, 20));  // No limit.
  job.max_bytes = 1000;
  EXPECT_TRUE(RateControl::Fits(job, 1000, 20));
  EXPECT_FALSE(job.coarser);
  int last = job.qp;
  while (!RateControl::Fits(job, 1001, 0)) {
    EXPECT_GT(job.qp, last);
    EXPECT_FALSE(job.fine);
    EXPECT_TRUE(job.coarser);
    last = job.qp;
    RateControl::AgainAsKeyframe(job, 8160);
  }
  EXPECT_EQ(job.tries, RateControl::kTriesMax + 1);
  EXPECT_EQ(job.qp, RateControl::kQpMax);
  EXPECT_EQ(job.kind, Kind::kKeyframe);
  EXPECT_EQ(job.macroblocks, 8160u);
  // What follows is as coarse, or it would send what was saved.
  RateControl rate(EncoderConfig{});
  rate.Coded(job, job.qp, 1001);
  EXPECT_EQ(rate.QpFor(Kind::kChange, kStart, 8160), job.qp);
  // Where a driver steers, from what it came to.
  RateControl::Job steered;
  steered.qp = 20;
  steered.max_bytes = 1000;
  EXPECT_FALSE(RateControl::Fits(steered, 1001, 40));
  EXPECT_GT(steered.qp, 40);
}

}  // namespace
}  // namespace kine
