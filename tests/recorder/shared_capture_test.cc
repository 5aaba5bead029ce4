// Several recordings on one capture: what they share, and that none of them
// notices the others.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "tests/recorder/shared_sim.h"

namespace kine {
namespace {

using link::EndReason;
using link::Finished;
using testing::HasSubstr;
using Call = FakeEncoderLog::Call;
using E = FakeSourceEvent;

int CountKeyframes(const std::vector<SharedSim::Sample>& samples) {
  return static_cast<int>(
      std::ranges::count_if(samples, &SharedSim::Sample::keyframe));
}

void ExpectReady(const SharedSim& sim, size_t number) {
  const auto finished = sim.Find<Finished>(number);
  ASSERT_TRUE(finished.has_value()) << number;
  EXPECT_EQ(finished->state, Finished::State::kReady) << finished->message;
  EXPECT_EQ(finished->reason, EndReason::kStopped) << finished->message;
  EXPECT_EQ(sim.Samples(number).size(), finished->frames);
}

TEST(SharedCaptureTest, EqualSettingsShareOneSourceAndOneEncoder) {
  SharedSim sim;
  sim.AddFrames(250);
  const size_t a = sim.Start();
  sim.world().Advance(absl::Seconds(3));
  const uint64_t before = sim.recording(a)->counters().captured;
  const size_t b = sim.Start();
  sim.world().Advance(absl::Seconds(4));

  EXPECT_EQ(sim.captures(), 1u);
  EXPECT_EQ(sim.source().sources_alive, 1);
  EXPECT_EQ(sim.encoder().fake.encoders_made, 1);
  // Each counts from its own beginning.
  const link::Counters late = sim.recording(b)->counters();
  EXPECT_NEAR(static_cast<double>(late.captured), 100, 5);
  EXPECT_NEAR(static_cast<double>(late.encoded), 100, 5);
  EXPECT_NEAR(static_cast<double>(sim.recording(a)->counters().captured),
              static_cast<double>(before + late.captured), 2);
  End(sim);
  ExpectReady(sim, a);
  ExpectReady(sim, b);
  EXPECT_EQ(CountGaps(sim.Samples(a)), 0);
  EXPECT_EQ(CountGaps(sim.Samples(b)), 0);
  EXPECT_EQ(sim.Samples(a).back().serial, sim.Samples(b).back().serial);
  EXPECT_EQ(sim.Find<Finished>(a)->frames, sim.encoder().packets);
}

TEST(SharedCaptureTest,
     OtherSettingsGetAnEncoderBesideItAndTheFourthIsRefused) {
  SharedSim sim;
  sim.AddFrames(5);
  const size_t a = sim.Start();
  sim.world().Advance(absl::Seconds(5));  // A still screen by now.
  const size_t b = sim.Start({.fps_max = 10});
  const size_t c = sim.Start({.fps_max = 5});
  sim.world().Advance(absl::Seconds(2));

  EXPECT_EQ(sim.source().sources_alive, 1);
  for (const double fps : {30.0, 10.0, 5.0})
    EXPECT_EQ(sim.encoder(fps).fake.encoders_alive, 1) << fps;
  EXPECT_TRUE(sim.MayStart({.fps_max = 5}).ok());
  const absl::Status fourth = sim.MayStart({.fps_max = 15});
  EXPECT_TRUE(absl::IsResourceExhausted(fourth));
  EXPECT_THAT(std::string(fourth.message()), HasSubstr("3 different picture"));
  // The picture is there although no frame comes any more, and is as old as
  // the recording.
  for (const size_t late : {b, c}) {
    ASSERT_TRUE(sim.Find<link::FirstFrame>(late).has_value());
    EXPECT_TRUE(sim.Find<link::Format>(late).has_value());
  }
  sim.Stop(b);
  sim.world().Advance(absl::Seconds(1));
  EXPECT_EQ(sim.encoder(10).fake.encoders_alive, 0);
  EXPECT_TRUE(sim.MayStart({.fps_max = 15}).ok());
  End(sim);
  for (const size_t each : {a, b, c}) ExpectReady(sim, each);
  EXPECT_NEAR(static_cast<double>(sim.Find<Finished>(b)->duration_us),
              2'000'000, 100'000);
}

TEST(SharedCaptureTest, WhoJoinsAStillScreenSeesItAtOnceAndDisturbsNobody) {
  SharedSim sim;
  sim.AddFrames(25);
  const size_t a = sim.Start();
  sim.world().Advance(absl::Seconds(20));
  const uint32_t packets = sim.encoder().packets;
  const size_t b = sim.Start();
  sim.world().Advance(absl::Milliseconds(50));

  EXPECT_TRUE(sim.Find<link::Format>(b).has_value());
  const auto first = sim.Find<link::FirstFrame>(b);
  ASSERT_TRUE(first.has_value());
  EXPECT_GE(first->mono_us, sim.world().Now().micros() - 60'000);
  EXPECT_EQ(sim.encoder().packets, packets + 1);
  sim.world().Advance(absl::Seconds(1));
  End(sim);
  EXPECT_EQ(sim.Samples(b).front().serial,
            sim.Samples(a).front().serial + packets);
  EXPECT_EQ(CountGaps(sim.Samples(a)), 0);
  EXPECT_NEAR(static_cast<double>(sim.Find<Finished>(a)->duration_us),
              21'000'000, 200'000);
  EXPECT_NEAR(static_cast<double>(sim.Find<Finished>(b)->duration_us),
              1'050'000, 50'000);
}

TEST(SharedCaptureTest, ManyWhoJoinShareTheirKeyframesAndDoNotWaitLong) {
  SharedSim sim;
  sim.AddFrames(150);
  const size_t a = sim.Start();
  sim.world().Advance(absl::Seconds(2));
  std::vector<size_t> joined;
  std::vector<int64_t> joined_us;
  for (int i = 0; i < 10; ++i) {
    joined.push_back(sim.Start());
    joined_us.push_back(sim.world().Now().micros());
    sim.world().Advance(absl::Milliseconds(100));
  }
  sim.world().Advance(absl::Seconds(1.5));
  for (size_t i = 0; i < joined.size(); ++i) {
    const auto first = sim.Find<link::FirstFrame>(joined[i]);
    ASSERT_TRUE(first.has_value()) << i;
    EXPECT_LE(first->mono_us - joined_us[i],
              limits::kJoinKeyframeMs * 1'000 + 80'000);
  }

  End(sim);
  const int keyframes = CountKeyframes(sim.Samples(a));
  EXPECT_GE(keyframes, 1 + 1);
  EXPECT_LE(keyframes, 1 + 5);
  for (const size_t each : joined) {
    ExpectReady(sim, each);
    EXPECT_EQ(CountGaps(sim.Samples(each)), 0);
  }
}

TEST(SharedCaptureTest, WhoLeavesHasWhatWasOfferedBeforeAndTheOthersGoOn) {
  SharedSim sim;
  sim.AddFrames(250);
  const size_t a = sim.Start();
  const size_t b = sim.Start();
  sim.world().Advance(absl::Seconds(3));
  sim.Stop(a);
  sim.world().Advance(absl::Milliseconds(500));

  EXPECT_EQ(sim.recording(a), nullptr) << "it waits for the others";
  ExpectReady(sim, a);
  const Finished finished = *sim.Find<Finished>(a);
  const link::Counters& c = finished.counters;
  EXPECT_EQ(c.captured, c.encoded + c.skipped_undamaged + c.lost_overload);
  sim.world().Advance(absl::Seconds(2));
  EXPECT_EQ(sim.source().sources_alive, 1);
  EXPECT_GT(sim.recording(b)->counters().encoded, c.encoded + 40);
  End(sim);
  EXPECT_EQ(CountGaps(sim.Samples(a)), 0);
  EXPECT_EQ(CountGaps(sim.Samples(b)), 0);
  EXPECT_EQ(sim.encoder().fake.encoders_made, 1);
}

TEST(SharedCaptureTest, WhoLeavesBeforeItsKeyframeStillHasThePicture) {
  SharedSim sim;
  sim.AddFrames(25);
  const size_t a = sim.Start();
  sim.world().Advance(absl::Seconds(20));
  sim.recording(a)->Watch();  // A keyframe: the next is due later.
  sim.world().Advance(absl::Milliseconds(10));
  const size_t b = sim.Start();
  sim.Stop(b);
  sim.world().Advance(absl::Milliseconds(100));

  ExpectReady(sim, b);
  End(sim);
  EXPECT_EQ(CountGaps(sim.Samples(a)), 0);
}

TEST(SharedCaptureTest, APacketFitsIntoTheFullestFile) {
  SharedSim sim;
  sim.AddFrames(500);
  const auto most = [&] { return sim.encoder().fake.calls.back().max_bytes; };
  const size_t roomy = sim.Start({.max_bytes = 100 << 20});
  sim.world().Advance(absl::Seconds(1));
  const uint64_t alone = most();
  EXPECT_GT(alone, 4u << 20);
  const size_t small = sim.Start();  // 4 MiB
  const size_t roomier = sim.Start({.max_bytes = 200 << 20});
  sim.world().Advance(absl::Seconds(1));
  EXPECT_LT(most(), 1u << 20);
  EXPECT_GT(most(), 0u);
  sim.Stop(small);
  sim.world().Advance(absl::Seconds(1));
  EXPECT_GT(most(), 4u << 20);
  EXPECT_LE(most(), alone);
  End(sim);
  for (const size_t each : {roomy, small, roomier}) ExpectReady(sim, each);
  EXPECT_EQ(sim.encoder().fake.encoders_made, 1);
}

TEST(SharedCaptureTest, AStillScreenGoesOnForTheOneThatIsWatched) {
  SharedSim sim;
  sim.AddFrames(25);
  const size_t a = sim.Start();
  const size_t b = sim.Start();
  sim.world().Advance(absl::Seconds(10));
  sim.recording(a)->Watch();
  sim.world().Advance(absl::Seconds(1));
  const uint32_t before = sim.encoder().packets;
  sim.world().Advance(absl::Seconds(10));
  EXPECT_GE(sim.encoder().packets, before + 19);
  sim.recording(a)->Unwatch();
  sim.world().Advance(absl::Seconds(1));
  const uint32_t unwatched = sim.encoder().packets;
  sim.world().Advance(absl::Seconds(10));
  EXPECT_EQ(sim.encoder().packets, unwatched);
  End(sim);
  for (const size_t each : {a, b}) ExpectReady(sim, each);
}

TEST(SharedCaptureTest, OnePausesAndTheOthersDoNot) {
  SharedSim sim;
  sim.AddFrames(500);
  const size_t a = sim.Start();
  const size_t b = sim.Start();
  sim.world().Advance(absl::Seconds(3));
  sim.recording(a)->Pause();
  sim.world().Advance(absl::Seconds(2));
  const link::Counters during = sim.recording(a)->counters();
  EXPECT_NEAR(static_cast<double>(during.skipped_paused), 50, 3);
  EXPECT_NEAR(static_cast<double>(during.encoded), 75, 3);
  sim.recording(a)->Resume();
  sim.world().Advance(absl::Seconds(1));
  // The other one.
  sim.recording(b)->Pause();
  sim.world().Advance(absl::Seconds(1));
  EXPECT_NEAR(static_cast<double>(sim.recording(a)->counters().encoded),
              static_cast<double>(during.encoded) + 50, 4);
  // Both: nothing is encoded.
  sim.recording(a)->Pause();
  sim.world().Advance(absl::Milliseconds(100));
  const uint32_t packets = sim.encoder().packets;
  sim.world().Advance(absl::Seconds(2));
  EXPECT_EQ(sim.encoder().packets, packets);
  sim.recording(b)->Resume();
  sim.world().Advance(absl::Seconds(1));
  sim.recording(a)->Resume();
  sim.world().Advance(absl::Seconds(1));

  const link::Counters after = sim.recording(a)->counters();
  EXPECT_NEAR(static_cast<double>(after.skipped_paused), 50 + 75, 5);
  EXPECT_EQ(after.captured, after.encoded + after.skipped_undamaged +
                                after.skipped_paused + after.lost_overload);
  End(sim);
  EXPECT_EQ(CountGaps(sim.Samples(a)), 2);
  EXPECT_EQ(CountGaps(sim.Samples(b)), 1);
  EXPECT_NEAR(static_cast<double>(sim.Find<Finished>(a)->duration_us),
              6'000'000, 100'000);
  EXPECT_NEAR(static_cast<double>(sim.Find<Finished>(b)->duration_us),
              8'000'000, 200'000);
}

TEST(SharedCaptureTest, ASlowDiskEndsOneRecordingAndNotTheOther) {
  SharedSim sim;
  sim.AddFrames(500);
  const size_t a = sim.Start({.queue_packets = 24});
  const size_t b = sim.Start({.queue_packets = 24});
  sim.world().Advance(absl::Seconds(3));
  sim.StallDisk(a, true);
  sim.world().Advance(absl::Seconds(8));
  sim.StallDisk(a, false);
  sim.world().Advance(absl::Seconds(2));

  ASSERT_TRUE(sim.Find<Finished>(a).has_value());
  EXPECT_EQ(sim.Find<Finished>(a)->reason, EndReason::kDiskSlow);
  ASSERT_NE(sim.recording(b), nullptr);
  const uint64_t encoded = sim.recording(b)->counters().encoded;
  sim.world().Advance(absl::Seconds(2));
  EXPECT_GT(sim.recording(b)->counters().encoded, encoded + 40);
  End(sim);
  ExpectReady(sim, b);
  EXPECT_EQ(CountGaps(sim.Samples(a)), 0);
  EXPECT_EQ(CountGaps(sim.Samples(b)), 0);
}

TEST(SharedCaptureTest, AStartWhileTheCaptureEndsGetsANewOne) {
  SharedSim sim;
  sim.AddFrames(100);
  sim.source().stop_takes = absl::Seconds(5);
  const size_t a = sim.Start();
  sim.world().Advance(absl::Seconds(1));
  sim.Stop(a);
  const size_t b = sim.Start();
  sim.world().Advance(absl::Seconds(1));

  EXPECT_EQ(sim.captures(), 2u);
  EXPECT_TRUE(sim.Find<Finished>(a).has_value());
  EXPECT_TRUE(sim.Find<link::FirstFrame>(b).has_value());
  sim.world().Advance(absl::Seconds(5));
  EXPECT_EQ(sim.captures(), 1u);
  End(sim);
  ExpectReady(sim, a);
  ExpectReady(sim, b);
}

TEST(SharedCaptureTest, ALossReachesAllAndEachHasItsOwnGrace) {
  SharedSim sim;
  sim.AddFrames(25);
  sim.source().script.push_back({absl::Milliseconds(40), E::kLost});
  sim.source().script.push_back({absl::Seconds(6), E::kBack});
  sim.AddFrames(50);
  const size_t a = sim.Start({.source_grace_ms = 2'000});
  const size_t b = sim.Start({.source_grace_ms = 20'000});
  sim.world().Advance(absl::Seconds(4));
  const size_t c = sim.Start({.source_grace_ms = 20'000});
  sim.world().Advance(absl::Seconds(1));

  EXPECT_EQ(sim.Find<Finished>(a)->reason, EndReason::kSourceLost);
  for (const size_t each : {b, c}) {
    EXPECT_TRUE(sim.Find<link::Lost>(each).has_value());
    EXPECT_FALSE(sim.Find<Finished>(each).has_value());
  }
  // Nobody knows what the screen shows.
  EXPECT_FALSE(sim.Find<link::FirstFrame>(c).has_value());
  sim.world().Advance(absl::Seconds(4));
  for (const size_t each : {b, c}) {
    EXPECT_TRUE(sim.Find<link::Back>(each).has_value());
    EXPECT_TRUE(sim.Find<link::FirstFrame>(each).has_value());
  }
  End(sim);
  ExpectReady(sim, b);
  ExpectReady(sim, c);
  EXPECT_EQ(CountGaps(sim.Samples(b)), 0);
}

TEST(SharedCaptureTest, AFailedSourceEndsAllAndAFailedEncoderItsOwn) {
  SharedSim sim;
  sim.AddFrames(100);
  sim.source().script.push_back({absl::Milliseconds(40), E::kFailed});
  const size_t a = sim.Start();
  const size_t b = sim.Start();
  for (size_t call = 20; call < 40; ++call)
    sim.encoder(10).fake.fail_calls.insert(call);
  const size_t c = sim.Start({.fps_max = 10});
  const size_t d = sim.Start({.fps_max = 10});
  sim.world().Advance(absl::Seconds(3.5));

  for (const size_t each : {c, d})
    EXPECT_EQ(sim.Find<Finished>(each)->reason, EndReason::kEncoderFailed);
  for (const size_t each : {a, b})
    EXPECT_FALSE(sim.Find<Finished>(each).has_value());
  sim.world().Advance(absl::Seconds(1));
  for (const size_t each : {a, b})
    EXPECT_EQ(sim.Find<Finished>(each)->reason, EndReason::kSourceFailed);
  End(sim);
}

TEST(SharedCaptureTest, AFasterEncoderMakesTheSourceFaster) {
  SharedSim sim;
  sim.AddFrames(100);
  const size_t a = sim.Start({.fps_max = 10});
  sim.world().Advance(absl::Seconds(1));
  const size_t b = sim.Start({.fps_max = 5});
  sim.world().Advance(absl::Seconds(1));
  EXPECT_TRUE(sim.source().fps_max.empty());
  const size_t c = sim.Start({.fps_max = 30});
  sim.world().Advance(absl::Seconds(1));
  sim.Stop(c);
  sim.world().Advance(absl::Seconds(1));
  EXPECT_EQ(sim.source().fps_max, (std::vector<double>{30}));
  End(sim);
  for (const size_t each : {a, b, c}) ExpectReady(sim, each);
}

TEST(SharedCaptureTest, ADmabufIsOfferedOnlyWhereEveryEncoderTakesIt) {
  SharedSim sim;
  sim.AddFrames(200);
  sim.source().modifiers = {0x23, 0};
  constexpr uint32_t kBgrx = 0x34325258;  // DRM_FORMAT_XRGB8888
  sim.encoder(30).fake.imports = {{kBgrx, {0x23, 0}}};
  sim.encoder(10).fake.imports = {{kBgrx, {0}}};
  const size_t a = sim.Start();
  sim.world().Advance(absl::Seconds(1));
  const size_t b = sim.Start({.fps_max = 10});
  sim.world().Advance(absl::Seconds(1));
  const size_t c = sim.Start({.fps_max = 5});  // Memory only.
  sim.world().Advance(absl::Seconds(1));
  sim.Stop(c);
  sim.world().Advance(absl::Seconds(1));
  sim.Stop(b);
  sim.world().Advance(absl::Seconds(1));

  std::vector<std::vector<uint64_t>> modifiers;
  for (const auto& imports : sim.source().imports) {
    modifiers.emplace_back();
    if (!imports.empty()) modifiers.back() = imports.front().modifiers;
  }
  EXPECT_EQ(modifiers, (std::vector<std::vector<uint64_t>>{
                           {0x23, 0}, {0}, {}, {0}, {0x23, 0}}));
  End(sim);
  for (const size_t each : {a, b, c}) ExpectReady(sim, each);
}

}  // namespace
}  // namespace kine
