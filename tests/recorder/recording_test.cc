// What a recording tells, in runs where only one thing happens.
#include "daemon/recorder/recording.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "tests/fakes/trace_events.h"
#include "tests/recorder/recording_sim.h"

namespace kine {
namespace {

using link::EndReason;
using link::Finished;
using E = FakeSourceEvent;

constexpr uint64_t kSeed = 1;

void AddFrames(SimPlan& plan, int count) {
  for (int i = 0; i < count; ++i)
    plan.script.push_back({absl::Milliseconds(40), E::kFrame});
}

template <typename T>
std::optional<T> Find(const RecordingSim& sim) {
  for (const link::ToDaemon& message : sim.told())
    if (const T* found = std::get_if<T>(&message)) return *found;
  return std::nullopt;
}

void RunAll(RecordingSim& sim) {
  sim.RunUntilCrash();
  ASSERT_TRUE(sim.RunToTheEnd());
  ASSERT_TRUE(sim.finished().has_value());
}

TEST(RecordingTest, ASourceThatComesBackInTimeGoesOnInTheSameFile) {
  SimPlan plan;
  AddFrames(plan, 25);
  plan.script.push_back({absl::Milliseconds(40), E::kLost});
  plan.script.push_back({absl::Seconds(2), E::kBack});
  AddFrames(plan, 25);
  plan.stop_at = absl::Seconds(30);  // Longer than the grace time.
  RecordingSim sim(plan, kSeed);

  RunAll(sim);

  const Finished finished = *sim.finished();
  EXPECT_EQ(finished.reason, EndReason::kStopped);
  EXPECT_GE(finished.duration_us, 29'000'000);
  EXPECT_EQ(sim.CountTold<link::Lost>(), 1);
  ASSERT_EQ(sim.CountTold<link::Back>(), 1);
  EXPECT_GE(Find<link::Back>(sim)->gap_us, 2'000'000);
  EXPECT_LT(Find<link::Back>(sim)->gap_us, 6'000'000);
}

TEST(RecordingTest, ARefusedImportIsToldAndTheNextLayoutIsTaken) {
  for (const bool linear_too : {false, true}) {
    SimPlan plan;
    AddFrames(plan, 25);
    plan.modifiers = {0x23, 0x22, 0};
    plan.refused_modifiers = {0x23, 0x22};
    if (linear_too) plan.refused_modifiers.insert(0);
    RecordingSim sim(plan, kSeed);

    RunAll(sim);

    EXPECT_EQ(sim.finished()->state, Finished::State::kReady);
    EXPECT_EQ(sim.finished()->reason, EndReason::kStopped);
    std::vector<std::string> told;
    std::string memory;
    for (const link::ToDaemon& message : sim.told()) {
      if (const auto* fallback = std::get_if<link::Fallback>(&message)) {
        EXPECT_EQ(fallback->what, "import");
        EXPECT_EQ(fallback->reason,
                  "fake could not take in a DMA-BUF of this layout");
        told.push_back(fallback->from + " > " + fallback->to);
      }
      if (const auto* format = std::get_if<link::Format>(&message))
        memory = format->source.memory + " " + format->modifier;
    }
    std::vector<std::string> expected = {"BGRx 0x23 > BGRx 0x22",
                                         "BGRx 0x22 > BGRx linear"};
    if (linear_too) expected.push_back("BGRx linear > shared memory");
    EXPECT_EQ(told, expected);
    EXPECT_EQ(memory, linear_too ? "internal linear" : "DmaBuf linear");
    EXPECT_GE(sim.counters().lost_import, expected.size());
    EXPECT_GE(sim.counters().encoded, 15u);
    // Before the start; then once for each refusal, however many frames it hit.
    EXPECT_EQ(sim.source().imports.size(), 1 + expected.size());
  }
}

TEST(RecordingTest, DmabufsThatAreNeverFinishedAreGivenUpForMemory) {
  SimPlan plan;
  AddFrames(plan, 5);
  plan.modifiers = {0x23, 0};
  // As much later, it may say so twice.
  plan.script.push_back({absl::Seconds(3), E::kUnfinished});
  plan.script.push_back({absl::Milliseconds(1), E::kUnfinished});
  AddFrames(plan, 20);
  plan.encoder_faults = {10, 11};
  RecordingSim sim(plan, kSeed);

  RunAll(sim);

  EXPECT_EQ(sim.finished()->reason, EndReason::kStopped);
  std::vector<link::Fallback> imports;
  std::string memory;
  for (const link::ToDaemon& message : sim.told()) {
    const auto* fallback = std::get_if<link::Fallback>(&message);
    if (fallback != nullptr && fallback->what == "import")
      imports.push_back(*fallback);
    if (const auto* format = std::get_if<link::Format>(&message))
      memory = format->source.memory;
  }
  ASSERT_EQ(imports.size(), 1u);
  EXPECT_EQ(imports[0].from, "BGRx 0x23");
  EXPECT_EQ(imports[0].to, "shared memory");
  EXPECT_EQ(imports[0].reason,
            "the source's GPU finished none of 3 pictures in a row within 1000 "
            "ms");
  EXPECT_EQ(memory, "internal");
  // Nor are they asked for when another encoder comes.
  ASSERT_EQ(sim.source().imports.size(), 3u);
  EXPECT_EQ(sim.source().imports[0].size(), 1u);
  EXPECT_EQ(sim.source().imports[1].size(), 0u);
  EXPECT_EQ(sim.source().imports[2].size(), 0u);
}

TEST(RecordingTest, AnotherEncoderAsksForWhatItImportsButNotForWhatWasRefused) {
  SimPlan plan;
  AddFrames(plan, 25);
  plan.modifiers = {0x23, 0};
  plan.refused_modifiers = {0x23};
  plan.encoder_faults = {10, 11};
  RecordingSim sim(plan, kSeed);

  RunAll(sim);

  const std::vector<std::vector<uint64_t>> expected = {{0x23, 0}, {0}, {0}};
  ASSERT_EQ(sim.source().imports.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_EQ(sim.source().imports[i][0].modifiers, expected[i]) << i;
}

TEST(RecordingTest, WithoutAnEncoderNoSourceIsStarted) {
  SimPlan plan;
  AddFrames(plan, 5);
  plan.encoder_never = true;
  RecordingSim sim(plan, kSeed);

  RunAll(sim);

  EXPECT_EQ(sim.finished()->reason, EndReason::kEncoderFailed);
  EXPECT_EQ(sim.source().imports.size(), 0u);
}

TEST(RecordingTest, ASourceThatStaysAwayEndsItWhereItWasLost) {
  SimPlan plan;
  AddFrames(plan, 25);
  plan.script.push_back({absl::Milliseconds(40), E::kLost});
  RecordingSim sim(plan, kSeed);

  RunAll(sim);

  const Finished finished = *sim.finished();
  EXPECT_EQ(finished.state, Finished::State::kReady);
  EXPECT_EQ(finished.reason, EndReason::kSourceLost);
  EXPECT_TRUE(finished.truncated);
  EXPECT_EQ(finished.message, "the fake is gone");
  // Not the grace time: nobody knows what the screen showed then.
  EXPECT_LT(finished.duration_us, 5'000'000);
}

TEST(RecordingTest, AStillScreenIsKnownUpToTheCrash) {
  SimPlan plan;
  AddFrames(plan, 1);
  RecordingSim sim(plan, kSeed);
  sim.RunUntilCrash();
  sim.world().Advance(absl::Seconds(20));

  const auto file = sim.RecoverAfterKill();

  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_GE(file->duration_ticks, 90'000u * 18);
  EXPECT_LE(file->duration_ticks, 90'000u * 20);
  EXPECT_TRUE(sim.RunToTheEnd());
}

TEST(RecordingTest, NothingShownIsNoFrame) {
  SimPlan plan;
  plan.stop_at = absl::Seconds(3);
  RecordingSim sim(plan, kSeed);

  RunAll(sim);

  EXPECT_EQ(sim.finished()->state, Finished::State::kFailed);
  EXPECT_EQ(sim.finished()->reason, EndReason::kNoFrame);
  EXPECT_EQ(sim.CountTold<link::FirstFrame>(), 0);
}

TEST(RecordingTest, ARefusedSourceSaysWhy) {
  SimPlan plan;
  plan.script.push_back({absl::Milliseconds(40), E::kFailed});
  RecordingSim sim(plan, kSeed);

  RunAll(sim);

  EXPECT_EQ(sim.finished()->state, Finished::State::kFailed);
  EXPECT_EQ(sim.finished()->reason, EndReason::kSourceFailed);
  EXPECT_EQ(sim.finished()->message, "the fake failed");
}

TEST(RecordingTest, ASlowSourceDoesNotHoldUpTheOutcome) {
  SimPlan plan;
  AddFrames(plan, 25);
  plan.stop_at = absl::Seconds(2);
  plan.stop_takes = absl::Seconds(50);
  RecordingSim sim(plan, kSeed);
  sim.RunUntilCrash();
  sim.world().Advance(absl::Seconds(10));

  ASSERT_TRUE(sim.finished().has_value());
  EXPECT_EQ(sim.finished()->state, Finished::State::kReady);
  EXPECT_EQ(sim.retired(), 0) << "the source may still call back";
  EXPECT_TRUE(sim.RunToTheEnd());
  EXPECT_EQ(sim.retired(), 1);
}

TEST(RecordingTest, ANewSizeIsToldAgainAndStaysInTheFile) {
  SimPlan plan;
  AddFrames(plan, 5);
  plan.script.push_back({absl::Milliseconds(40), E::kNewSize});
  AddFrames(plan, 5);
  plan.stop_at = absl::Seconds(5);
  RecordingSim sim(plan, kSeed);

  RunAll(sim);

  EXPECT_EQ(sim.CountTold<link::Format>(), 2);
  EXPECT_EQ(sim.finished()->width, 64) << "the first picture's";
  EXPECT_EQ(sim.finished()->state, Finished::State::kReady);
}

// 10 s of frames, paused from 3 s on for 4 s.
SimPlan PausedPlan() {
  SimPlan plan;
  AddFrames(plan, 250);
  plan.pauses.push_back({absl::Seconds(3), absl::Seconds(4)});
  plan.stop_at = absl::Seconds(10);
  return plan;
}

TEST(RecordingTest, APauseIsNotInTheMedia) {
  RecordingSim sim(PausedPlan(), kSeed);

  RunAll(sim);

  const Finished finished = *sim.finished();
  EXPECT_EQ(finished.reason, EndReason::kStopped);
  EXPECT_NEAR(static_cast<double>(finished.duration_us), 6'000'000, 100'000);
  EXPECT_EQ(finished.counters.media_us, finished.duration_us);
  EXPECT_NEAR(static_cast<double>(finished.counters.skipped_paused), 100, 2);
  // The simulated threads are late now and then, without a pause as well.
  SimPlan plan = PausedPlan();
  plan.pauses.clear();
  RecordingSim unpaused(plan, kSeed);
  RunAll(unpaused);
  EXPECT_LE(finished.counters.lost_overload,
            unpaused.finished()->counters.lost_overload);
  ASSERT_EQ(sim.CountTold<link::Paused>(), 1);
  ASSERT_EQ(sim.CountTold<link::Resumed>(), 1);
  const auto paused = *Find<link::Paused>(sim);
  const auto resumed = *Find<link::Resumed>(sim);
  EXPECT_EQ(resumed.media_us, paused.media_us);
  EXPECT_EQ(resumed.mono_us - paused.mono_us, resumed.paused_us);
  EXPECT_NEAR(static_cast<double>(resumed.paused_us), 4'000'000, 1'000);
  EXPECT_TRUE(sim.ReadVideo().ok());
}

TEST(RecordingTest, AStopInAPauseEndsWhereItWasPaused) {
  SimPlan plan = PausedPlan();
  plan.stop_at = absl::Seconds(6);
  RecordingSim sim(plan, kSeed);

  RunAll(sim);

  EXPECT_EQ(sim.finished()->state, Finished::State::kReady);
  EXPECT_EQ(sim.finished()->duration_us, Find<link::Paused>(sim)->media_us);
}

TEST(RecordingTest, TheLongestDurationDoesNotCountPauses) {
  SimPlan plan = PausedPlan();
  plan.start.settings.max_duration_ms = 5'000;
  RecordingSim sim(plan, kSeed);

  RunAll(sim);

  EXPECT_EQ(sim.finished()->reason, EndReason::kMaxDuration);
  EXPECT_EQ(sim.finished()->duration_us, 5'000'000);
}

TEST(RecordingTest, WhatCameBeforeAPauseSurvivesAPowerLossInIt) {
  RecordingSim sim(PausedPlan(), kSeed);
  sim.RunUntilCrash();
  sim.world().Advance(absl::Seconds(5));

  const auto file = sim.RecoverAfterPowerLoss(kSeed);

  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_GE(file->samples, 65u);
  EXPECT_LE(file->duration_ticks, 90'000u * 3);
  EXPECT_TRUE(sim.RunToTheEnd());
}

TEST(RecordingTest, ADiskThatStandsStillShowsInTheTrace) {
  SimPlan plan;
  plan.start.queue_packets = 8;
  AddFrames(plan, 125);
  plan.pauses = {{absl::Milliseconds(4'500), absl::Milliseconds(200)}};
  plan.stop_at = absl::Seconds(5);
  plan.stall_at = absl::Seconds(1);
  plan.stall_for = absl::Seconds(2);
  RecordingSim sim(plan, kSeed);

  RunAll(sim);

  ASSERT_EQ(sim.finished()->reason, EndReason::kStopped);
  const std::vector<TraceEvent> events =
      ParseTrace(TraceJson(*sim.ReadItsTrace(), "sim"));
  // Every picture of the file came to the disk.
  EXPECT_EQ(CheckFrameLanes(events), static_cast<int>(sim.finished()->frames));
  for (const char* name : {"no credit", "queue full", "queue has room", "lost",
                           "paused", "resumed", "ending", "finished"})
    EXPECT_GE(CountOf(events, name), 1) << name;
  int stood = 0;
  for (const auto& [id, lane] : LanesOf(events, "fragment")) {
    for (const TraceSpan& span : lane)
      stood += span.name != "fragment" && span.to_ns.has_value() &&
                       *span.to_ns - span.from_ns > 1'700'000'000
                   ? 1
                   : 0;
  }
  EXPECT_EQ(stood, 1);
  int64_t lost = 0;
  int64_t full = 0;
  for (const TraceEvent& event : events) {
    if (event.name == "lost") lost += event.numbers.at("frames");
    if (event.name == "queue packets")
      full = std::max(full, event.numbers.at("packets"));
  }
  EXPECT_GT(lost, 20);
  EXPECT_EQ(full, 8);
}

}  // namespace
}  // namespace kine
