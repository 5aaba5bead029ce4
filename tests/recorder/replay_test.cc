// What was captured before somebody asked for it: the ring, and recordings made
// of it.
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "daemon/base/limits.h"
#include "daemon/recorder/replay/packet_ring.h"
#include "daemon/recorder/replay/replay_ring.h"
#include "tests/recorder/shared_sim.h"

namespace kine {
namespace {

using link::EndReason;
using link::Finished;
using E = FakeSourceEvent;

// -- The ring itself ---------------------------------------------------------

class PacketRingTest : public testing::Test {
 protected:
  static MonoTime At(double seconds) {
    return MonoTime::FromNanos(1'000'000'000'000) + absl::Seconds(seconds);
  }
  static SharedPacket MakePacket(double seconds, bool keyframe,
                                 size_t bytes = 1'000) {
    auto packet = std::make_shared<Packet>();
    packet->data.resize(bytes - sizeof(Packet));
    packet->time = At(seconds);
    packet->keyframe = keyframe;
    return packet;
  }
  static std::vector<double> Times(const std::vector<SharedPacket>& packets) {
    std::vector<double> times;
    for (const SharedPacket& packet : packets)
      times.push_back(absl::ToDoubleSeconds(packet->time - At(0)));
    return times;
  }
};

TEST_F(PacketRingTest, KeepsWhatShowsTheLastSecondsAndBeginsWithAKeyframe) {
  PacketRing ring(absl::Seconds(10), 1 << 20);
  ring.Add(MakePacket(0, false));
  EXPECT_TRUE(ring.empty());
  EXPECT_TRUE(ring.wants_keyframe());
  for (int i = 1; i <= 60; ++i) {
    ring.Add(MakePacket(i, i % 5 == 0));
    ring.Trim(At(i));
  }
  // 50 s ago is in the middle of what began at 50.
  EXPECT_EQ(ring.begin(), At(50));
  EXPECT_EQ(ring.packets(), 11u);
  EXPECT_EQ(ring.bytes(), 11'000u);
  ring.Trim(At(64.5));
  EXPECT_EQ(ring.begin(), At(50));
  // A still screen: the last ones are what it shows, however old.
  ring.Trim(At(600));
  EXPECT_EQ(ring.begin(), At(60));
  EXPECT_EQ(ring.packets(), 1u);
}

TEST_F(PacketRingTest, MemoryIsBoundedByWholeGroups) {
  PacketRing ring(absl::Seconds(100), 10'000);
  for (int i = 0; i < 40; ++i) {
    ring.Add(MakePacket(i, i % 4 == 0));
    EXPECT_LE(ring.bytes(), 10'000u);
    EXPECT_FALSE(ring.empty());
    EXPECT_FALSE(ring.wants_keyframe());
  }
  EXPECT_EQ(ring.begin(), At(32));
  // One that does not end.
  for (int i = 40; i < 46; ++i) ring.Add(MakePacket(i, i == 40));
  EXPECT_TRUE(ring.wants_keyframe());
  for (int i = 46; i < 60; ++i) ring.Add(MakePacket(i, false));
  EXPECT_TRUE(ring.empty());
  EXPECT_EQ(ring.bytes(), 0u);
  ring.Add(MakePacket(60, true));
  EXPECT_EQ(ring.begin(), At(60));
}

TEST_F(PacketRingTest, BeginsAtTheKeyframeBeforeWithItsOwnTimes) {
  PacketRing ring(absl::Seconds(100), 1 << 20);
  for (int i = 0; i < 20; ++i) ring.Add(MakePacket(i, i % 5 == 0));
  EXPECT_EQ(Times(ring.Since(At(12))),
            (std::vector<double>{10, 11, 12, 13, 14, 15, 16, 17, 18, 19}));
  EXPECT_EQ(Times(ring.Since(At(15))).front(), 15);
  EXPECT_EQ(ring.Since(At(-50)).size(), 20u);
}

TEST_F(PacketRingTest, AfterStillnessWhatCameBeforeIsSeenFromTheBeginningOn) {
  PacketRing ring(absl::Seconds(100), 1 << 20);
  for (const double at : {0.0, 1.0, 2.0}) ring.Add(MakePacket(at, at == 0));
  ring.Add(MakePacket(55, false));
  const std::vector<double> times = Times(ring.Since(At(50)));
  ASSERT_EQ(times.size(), 4u);
  EXPECT_NEAR(times[0], 50, 0.001);
  EXPECT_LT(times[0], times[1]);
  EXPECT_LT(times[1], times[2]);
  EXPECT_DOUBLE_EQ(times[2], 50);
  EXPECT_EQ(times[3], 55);
  // The ring itself is as it was.
  EXPECT_EQ(ring.begin(), At(0));
}

// -- Recordings of a ring ----------------------------------------------------

class ReplayTest : public testing::Test, private ReplayRing::Client {
 protected:
  static link::KeepReplay Keep(int64_t keep_ms) {
    const link::Start start = SharedSim::ToStart({}, 0);
    link::KeepReplay keep;
    keep.id = "ring";
    keep.settings = start.settings;
    keep.keep_ms = keep_ms;
    keep.bytes_max = 1 << 20;
    return keep;
  }
  void Begin(int64_t keep_ms = 10'000) {
    ReplayRing::Client& client = *this;
    ring_ = std::make_unique<ReplayRing>(sim_.control(), sim_.shared(), client,
                                         Keep(keep_ms));
  }
  size_t Save(absl::Duration last, int queue_packets = 96) {
    const link::Start start =
        SharedSim::ToStart({.queue_packets = queue_packets}, sim_.started());
    return sim_.Start(start, [&](CaptureSink& sink, uint64_t) {
      return std::make_unique<ReplayFeed>(sim_.control(), sink,
                                          ring_->Last(last), queue_packets);
    });
  }
  void End() {
    if (ring_ != nullptr) ring_->Stop();
    sim_.StopAll();
    ASSERT_TRUE(sim_.RunToTheEnd());
    EXPECT_EQ(ring_, nullptr);
    EXPECT_EQ(sim_.timers(), 0u);
  }
  // What is wrong with the file, beginning with a keyframe and without a gap.
  void ExpectWhole(size_t number, double seconds, double within) {
    SCOPED_TRACE(number);
    const auto finished = sim_.Find<Finished>(number);
    ASSERT_TRUE(finished.has_value());
    EXPECT_EQ(finished->state, Finished::State::kReady) << finished->message;
    EXPECT_EQ(finished->reason, EndReason::kStopped) << finished->message;
    EXPECT_FALSE(finished->truncated);
    EXPECT_NEAR(static_cast<double>(finished->duration_us), seconds * 1e6,
                within * 1e6);
    const auto samples = sim_.Samples(number);
    ASSERT_FALSE(samples.empty());
    EXPECT_TRUE(samples.front().keyframe);
    for (size_t i = 1; i < samples.size(); ++i)
      EXPECT_EQ(samples[i].serial, samples[i - 1].serial + 1);
    EXPECT_TRUE(sim_.Find<link::Format>(number).has_value());
    EXPECT_TRUE(sim_.Find<link::Head>(number).has_value());
  }

  SharedSim sim_;
  std::unique_ptr<ReplayRing> ring_;
  std::vector<link::ToDaemon> told_;

 private:
  void Tell(link::ToDaemon message) override {
    told_.push_back(std::move(message));
  }
  void OnRetired(ReplayRing&) override { ring_.reset(); }
};

TEST_F(ReplayTest, TheLastSecondsBecomeAnOrdinaryRecording) {
  sim_.AddFrames(750);
  Begin();
  sim_.world().Advance(absl::Seconds(30));
  const link::ReplayKept kept = ring_->kept();
  EXPECT_GE(kept.media_us, 10'000'000);
  EXPECT_LE(kept.media_us, 15'100'000);
  EXPECT_GE(kept.packets, 240u);
  const MonoTime now = sim_.world().Now();
  const size_t a = Save(absl::Seconds(5));
  sim_.world().Advance(absl::Milliseconds(200));

  ExpectWhole(a, 7.5, 2.6);
  EXPECT_LE(sim_.Find<link::FirstFrame>(a)->mono_us,
            (now - absl::Seconds(5)).micros());
  EXPECT_EQ(sim_.Samples(a).back().serial + 1 - sim_.Samples(a).front().serial,
            sim_.Samples(a).size());
  EXPECT_EQ(sim_.recording(a), nullptr);
  const link::Counters counters = sim_.Find<Finished>(a)->counters;
  EXPECT_GE(counters.captured, 125u);
  EXPECT_LE(counters.captured, sim_.Samples(a).size());
  EXPECT_EQ(counters.encoded, counters.captured);
  End();
}

TEST_F(ReplayTest, ARingSharesTheEncoderAndHoldsUpNobody) {
  sim_.AddFrames(750);
  Begin();
  const size_t a = sim_.Start({.queue_packets = 96});
  sim_.world().Advance(absl::Seconds(10));
  EXPECT_EQ(sim_.source().sources_alive, 1);
  EXPECT_EQ(sim_.encoder().fake.encoders_alive, 1);
  sim_.Stop(a);
  sim_.world().Advance(absl::Seconds(10));
  // Alone it goes on; a pump without credit would have stopped.
  EXPECT_GE(sim_.encoder().packets, 480u);
  End();
  ExpectWhole(a, 10, 0.2);
}

TEST_F(ReplayTest, AStillScreenGivesWhatWasAskedForAndNoMore) {
  sim_.AddFrames(25);
  Begin(30'000);
  sim_.world().Advance(absl::Seconds(600));
  EXPECT_LT(ring_->kept().packets, 30u);
  const size_t a = Save(absl::Seconds(20));
  sim_.world().Advance(absl::Milliseconds(200));

  ExpectWhole(a, 20, 0.01);
  End();
}

TEST_F(ReplayTest, ALossIsNoPartOfIt) {
  sim_.AddFrames(250);
  sim_.source().script.push_back({absl::Milliseconds(40), E::kLost});
  Begin();
  sim_.world().Advance(absl::Seconds(60));
  const size_t a = Save(absl::Seconds(4));
  sim_.world().Advance(absl::Milliseconds(200));

  ExpectWhole(a, 6.5, 2.6);
  EXPECT_LE(ring_->kept().media_us, 15'100'000);
  End();
}

TEST_F(ReplayTest, WhatComesAfterALossIsPartOfIt) {
  sim_.AddFrames(25);
  sim_.source().script.push_back({absl::Milliseconds(40), E::kLost});
  sim_.source().script.push_back({absl::Seconds(2), E::kBack});
  sim_.AddFrames(250);
  Begin();
  sim_.world().Advance(absl::Seconds(12));
  const size_t a = Save(absl::Seconds(3));
  sim_.world().Advance(absl::Milliseconds(200));

  ExpectWhole(a, 5.5, 2.6);
  EXPECT_LE(ring_->kept().media_us, 15'100'000);
  EXPECT_GE(ring_->kept().media_us, 9'000'000);
  End();
}

TEST_F(ReplayTest, ASmallQueueAndASlowDiskTakeAllOfIt) {
  sim_.AddFrames(750);
  Begin(20'000);
  sim_.world().Advance(absl::Seconds(30));
  const size_t a = Save(absl::Seconds(20), 4);
  sim_.StallDisk(a, true);
  sim_.world().Advance(absl::Seconds(4));
  EXPECT_FALSE(sim_.Find<Finished>(a).has_value());
  sim_.StallDisk(a, false);
  sim_.world().Advance(absl::Seconds(1));

  ExpectWhole(a, 22.5, 2.6);
  // One that never comes back ends as any other's does.
  const size_t b = Save(absl::Seconds(20), 4);
  sim_.StallDisk(b, true);
  sim_.world().Advance(absl::Seconds(8));
  sim_.StallDisk(b, false);
  sim_.world().Advance(absl::Seconds(1));
  EXPECT_EQ(sim_.Find<Finished>(b)->reason, EndReason::kDiskSlow);
  End();
}

TEST_F(ReplayTest, AReplayCannotBePausedAndAStopCutsIt) {
  sim_.AddFrames(750);
  Begin(20'000);
  sim_.world().Advance(absl::Seconds(30));
  const size_t a = Save(absl::Seconds(20), 4);
  sim_.StallDisk(a, true);
  sim_.world().Advance(absl::Milliseconds(100));
  sim_.recording(a)->Pause();
  EXPECT_FALSE(sim_.Find<link::Paused>(a).has_value());
  sim_.Stop(a);
  sim_.StallDisk(a, false);
  sim_.world().Advance(absl::Seconds(1));

  ASSERT_TRUE(sim_.Find<Finished>(a).has_value());
  EXPECT_EQ(sim_.Find<Finished>(a)->state, Finished::State::kReady);
  EXPECT_EQ(sim_.Find<Finished>(a)->frames, 4u);
  End();
}

TEST_F(ReplayTest, AFailedSourceEndsTheRing) {
  sim_.AddFrames(25);
  sim_.source().script.push_back({absl::Milliseconds(40), E::kFailed});
  Begin();
  sim_.world().Advance(absl::Seconds(5));

  EXPECT_EQ(ring_, nullptr);
  ASSERT_EQ(told_.size(), 1u);
  const auto& ended = std::get<link::ReplayEnded>(told_[0]);
  EXPECT_EQ(ended.id, "ring");
  EXPECT_EQ(ended.reason, "the fake failed");
  End();
}

}  // namespace
}  // namespace kine
