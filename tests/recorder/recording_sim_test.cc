// Whole recordings under seeds, with faults (style: safety and progress).
//
//   SEED=123 recorder_test --gtest_filter='*Sim*'    one seed again
//   KINE_SIM_SEEDS=300000 ...                        more of them
#include "tests/recorder/recording_sim.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/limits.h"
#include "tests/fakes/sanitizer.h"

namespace kine {
namespace {

using link::EndReason;
using link::Finished;

// Enough to reach every end.
constexpr uint64_t kSeeds = 2'000;
// A minute of CPU under TSan for loops that all run on one thread.
constexpr uint64_t kSeedsHere = kThreadSanitizer ? kSeeds / 5 : kSeeds;

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  uint64_t value = 0;
  return text != nullptr && absl::SimpleAtoi(text, &value) ? value : otherwise;
}

// What must hold at a crash: the file can be finished, and has every fragment
// that was called durable (power loss) or written (a kill).
void CheckCrash(RecordingSim& sim, uint64_t seed) {
  const link::Counters counters = sim.counters();
  const absl::StatusOr<SimFile> killed = sim.RecoverAfterKill();
  const absl::StatusOr<SimFile> dark = sim.RecoverAfterPowerLoss(seed);
  for (const auto* file : {&killed, &dark}) {
    EXPECT_TRUE(file->ok() || absl::IsNotFound(file->status()))
        << file->status();
  }
  if (counters.durable_bytes > 0) {
    ASSERT_TRUE(dark.ok()) << dark.status();
    EXPECT_GE(dark->media_end, counters.durable_bytes);
  }
  if (sim.CountTold<Finished>() > 0 &&
      sim.finished()->state == Finished::State::kReady) {
    ASSERT_TRUE(killed.ok() && dark.ok());
    EXPECT_EQ(killed->samples, sim.finished()->frames);
    EXPECT_EQ(dark->samples, sim.finished()->frames);
  }
}

void CheckCounters(RecordingSim& sim) {
  const link::Counters& c = sim.counters();
  // The picture on which an encoder gave up is none of the five.
  const uint64_t told = c.encoded + c.skipped_undamaged + c.skipped_paused +
                        c.lost_overload + c.lost_import;
  const bool gave_up =
      !sim.plan().encoder_faults.empty() || sim.plan().encoder_never;
  EXPECT_LE(told, c.captured);
  EXPECT_GE(told + (gave_up ? 1 : 0), c.captured);
  EXPECT_EQ(c.corrupted, sim.source().stats.corrupted);
  EXPECT_EQ(c.lost_in_source, sim.source().stats.lost_in_source);
  EXPECT_LE(c.durable_bytes, c.bytes);
  EXPECT_EQ(sim.source().frames_back, sim.source().frames_lent);
}

// That what is traced happened, in an order in which it can.
void CheckTrace(RecordingSim& sim) {
  const absl::StatusOr<Trace> trace = sim.ReadItsTrace();
  ASSERT_TRUE(trace.ok());
  const bool whole =
      trace->records.empty() || trace->records.front().number == 1;
  uint64_t packets = 0;
  uint64_t replaced = 0;
  uint64_t unchanged = 0;
  uint64_t closed = 0;
  uint64_t durable = 0;
  int64_t newest = 0;
  std::map<uint64_t, TraceKind> steps;  // Of each fragment, the last one.
  for (const TraceRecord& record : trace->records) {
    EXPECT_GE(record.at, newest);
    newest = record.at;
    if (record.kind == TraceKind::kNote) continue;
    if (record.kind == TraceKind::kPacket) {
      const TracePacket& p = record.packet;
      EXPECT_LE(p.arrival, p.encode_start);
      EXPECT_LE(p.stalled, p.encode_start);
      EXPECT_LE(p.encode_start, p.encode_end);
      EXPECT_LE(p.encode_end, record.at);
      EXPECT_LE(p.queue_packets,
                static_cast<uint32_t>(sim.plan().start.queue_packets));
      packets += (p.flags & TracePacket::kDropped) == 0 ? 1 : 0;
      replaced += p.replaced;
      unchanged += p.unchanged;
      continue;
    }
    const uint64_t number = record.fragment.number;
    if (record.kind == TraceKind::kDurable) {
      EXPECT_GT(number, durable == closed ? durable - 1 : durable);
      EXPECT_LE(number, closed);
      durable = number;
      continue;
    }
    if (record.kind == TraceKind::kFragment) closed = number;
    EXPECT_EQ(static_cast<uint32_t>(record.kind),
              record.kind == TraceKind::kFragment
                  ? static_cast<uint32_t>(TraceKind::kFragment)
                  : static_cast<uint32_t>(steps[number]) + 1);
    steps[number] = record.kind;
  }
  const link::Counters& c = sim.counters();
  EXPECT_LE(replaced, c.lost_overload + c.skipped_paused);
  EXPECT_LE(unchanged, c.skipped_undamaged);
  if (!whole || !sim.finished().has_value()) return;
  if (sim.finished()->state == Finished::State::kReady) {
    EXPECT_GE(packets, sim.finished()->frames);
    if (!sim.plan().disk_fault.has_value()) {
      EXPECT_EQ(durable, closed);
    }
  }
}

void CheckReady(RecordingSim& sim, const Finished& finished) {
  const absl::StatusOr<SimFile> file = sim.ReadVideo();
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->samples, finished.frames);
  EXPECT_EQ(file->bytes, finished.bytes);
  EXPECT_EQ(file->duration_ticks * 100 / 9,
            static_cast<uint64_t>(finished.duration_us));
  EXPECT_LE(file->bytes, sim.plan().start.settings.max_bytes);
  EXPECT_GE(file->media_end, finished.counters.durable_bytes);
  EXPECT_EQ(sim.CountTold<link::FirstFrame>(), 1);
  EXPECT_GE(sim.CountTold<link::Format>(), 1);
  EXPECT_LE(finished.frames, sim.encoder().packets);
  EXPECT_EQ(finished.truncated, finished.reason != EndReason::kStopped);
  // The end is where the stop was, not where the last frame happened to be.
  if (finished.reason == EndReason::kMaxDuration) {
    EXPECT_GE(finished.duration_us,
              sim.plan().start.settings.max_duration_ms * 1000 - 100);
  }
  // Only what cuts a file may lose a packet.
  if (finished.reason == EndReason::kStopped ||
      finished.reason == EndReason::kSourceLost ||
      finished.reason == EndReason::kMaxDuration ||
      finished.reason == EndReason::kSourceFailed) {
    EXPECT_EQ(finished.frames, sim.encoder().packets);
  }
}

void CheckFailed(RecordingSim& sim, const Finished& finished) {
  const SimPlan& plan = sim.plan();
  const bool says_why = finished.reason == EndReason::kDiskFull ||
                        finished.reason == EndReason::kDiskFailed ||
                        finished.reason >= EndReason::kNoFrame;
  EXPECT_TRUE(says_why);
  if (finished.reason == EndReason::kNoFrame) {
    EXPECT_EQ(sim.encoder().packets, 0u);
  }
  // Frames came and nothing was wrong with the disk: then it is ready.
  EXPECT_TRUE(sim.encoder().packets == 0 || plan.disk_fault.has_value());
}

void CheckEnd(RecordingSim& sim) {
  const SimPlan& plan = sim.plan();
  EXPECT_EQ(sim.retired(), 1);
  EXPECT_EQ(sim.timers(), 0u);
  EXPECT_EQ(sim.pending_at_retirement(), 0u);
  EXPECT_EQ(sim.source().sources_alive, 0);
  EXPECT_EQ(sim.encoder().fake.encoders_alive, 0);
  CheckCounters(sim);
  CheckTrace(sim);
  if (plan.abandon_at.has_value() && !sim.finished().has_value()) {
    // Nobody was told and nothing finalised; all that was encoded is there.
    const absl::StatusOr<SimFile> file = sim.RecoverAfterPowerLoss(1);
    if (!plan.disk_fault.has_value() && plan.packet_bytes_max == 400 &&
        sim.encoder().packets > 0) {
      ASSERT_TRUE(file.ok()) << file.status();
      EXPECT_EQ(file->samples, sim.encoder().packets);
    }
    return;
  }
  ASSERT_EQ(sim.CountTold<Finished>(), 1);
  EXPECT_TRUE(std::holds_alternative<Finished>(sim.told().back()));
  const Finished finished = *sim.finished();
  // Below hardware there is software, and every step is told.
  if (plan.hardware && !plan.encoder_never) {
    EXPECT_NE(finished.reason, EndReason::kEncoderFailed);
    const int failed = static_cast<int>(
        std::ranges::count_if(sim.encoder().fake.calls,
                              [](const auto& call) { return call.failed; }));
    EXPECT_GE(sim.CountTold<link::Fallback>(), failed);
  }
  if (finished.state == Finished::State::kReady) {
    CheckReady(sim, finished);
  } else {
    CheckFailed(sim, finished);
  }
  if (plan.clean()) {
    EXPECT_EQ(finished.state == Finished::State::kReady,
              sim.encoder().packets > 0);
    // A stop that a starved thread saw too late may find the limit reached; a
    // completion that it saw too late is a slow disk.
    const bool ended_well = finished.reason == EndReason::kStopped ||
                            finished.reason == EndReason::kMaxDuration ||
                            finished.reason == EndReason::kDiskSlow;
    EXPECT_TRUE(ended_well || sim.encoder().packets == 0);
  }
}

// Of a failing seed: what was planned and what was told.
std::string Story(const RecordingSim& sim) {
  const SimPlan& plan = sim.plan();
  std::string text = absl::StrCat(
      " events=", plan.script.size(), " queue=", plan.start.queue_packets,
      " packets=", sim.encoder().packets,
      " fault=", plan.disk_fault.has_value() ? plan.disk_errno : 0, "@",
      plan.disk_fault.value_or(0),
      " encoder_faults=", plan.encoder_faults.size(),
      " packet_bytes_max=", plan.packet_bytes_max, " clean=", plan.clean());
  if (const auto finished = sim.finished()) {
    absl::StrAppend(&text, "\n", link::ToJson(link::ToDaemon(*finished)));
  }
  return text;
}

// How often each end was seen: a simulation that no longer reaches one of them
// proves nothing about it.
using Ends = std::map<std::pair<EndReason, bool>, int>;

void RunSeed(uint64_t seed, Ends& ends) {
  SCOPED_TRACE(absl::StrCat("SEED=", seed));
  RecordingSim sim(seed);
  // What a crash would leave now; then things go on as if there was none.
  sim.RunUntilCrash();
  CheckCrash(sim, seed);
  ASSERT_TRUE(sim.RunToTheEnd()) << "did not come to rest:" << Story(sim);
  CheckCrash(sim, seed);
  CheckEnd(sim);
  if (const auto finished = sim.finished()) {
    ++ends[{finished->reason, finished->state == Finished::State::kReady}];
  }
  if (testing::Test::HasFailure()) ADD_FAILURE() << Story(sim);
}

TEST(RecordingSimTest, EveryRecordingEndsOnceAndWithWhatItPromised) {
  Ends ends;
  if (const uint64_t seed = FromEnvironment("SEED", 0); seed != 0)
    return RunSeed(seed, ends);
  const uint64_t seeds = FromEnvironment("KINE_SIM_SEEDS", kSeedsHere);
  for (uint64_t seed = 1; seed <= seeds && !HasFailure(); ++seed)
    RunSeed(seed, ends);

  if (seeds < kSeeds || HasFailure()) return;
  for (const EndReason reason :
       {EndReason::kStopped, EndReason::kMaxBytes, EndReason::kMaxDuration,
        EndReason::kDiskFull, EndReason::kDiskSlow, EndReason::kSourceLost,
        EndReason::kDiskFailed, EndReason::kSourceFailed,
        EndReason::kEncoderFailed}) {
    EXPECT_GT((ends[{reason, true}]), 0) << link::EndReasonName(reason);
  }
  for (const EndReason reason :
       {EndReason::kNoFrame, EndReason::kDiskFull, EndReason::kDiskFailed,
        EndReason::kSourceFailed, EndReason::kEncoderFailed}) {
    EXPECT_GT((ends[{reason, false}]), 0) << link::EndReasonName(reason);
  }
}

}  // namespace
}  // namespace kine
