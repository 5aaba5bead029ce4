// Recordings come, pause, go on, are watched and go as the dice say, on one to
// three encoders of one capture. SEED=N repeats one run.
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>
#include <variant>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tests/fakes/sanitizer.h"
#include "tests/recorder/shared_sim.h"

namespace kine {
namespace {

using link::EndReason;
using link::Finished;
using E = FakeSourceEvent;

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  uint64_t value = 0;
  return text != nullptr && absl::SimpleAtoi(text, &value) ? value : otherwise;
}

void RunSeed(uint64_t seed) {
  SCOPED_TRACE(absl::StrCat("SEED=", seed));
  std::mt19937_64 random(seed * 0x9e3779b97f4a7c15u + 1);
  const auto below = [&](uint64_t bound) { return random() % bound; };
  SharedSim sim(seed);
  while (sim.source().script.size() < 200) {
    const absl::Duration after = absl::Milliseconds(below(80));
    if (below(60) == 0) {
      sim.source().script.push_back(
          {absl::Milliseconds(below(4'000)), E::kStillFrame});
    }
    sim.source().script.push_back(
        {after, below(40) == 0 ? E::kNewSize : E::kFrame});
  }
  constexpr double kRates[] = {30, 12, 60, 5};
  const uint64_t rates = 1 + below(4);
  std::vector<int> pauses;
  std::vector<double> rate_of;
  for (int step = 0; step < 40; ++step) {
    sim.world().Advance(absl::Milliseconds(below(below(4) == 0 ? 900 : 60)));
    const uint64_t what = below(8);
    if (what < 3 && pauses.size() < 12) {
      const double fps = kRates[below(rates)];
      const int queue = fps == 12 ? 4 : 96;
      if (!sim.MayStart({.fps_max = fps, .queue_packets = queue}).ok())
        continue;
      sim.Start({.fps_max = fps, .queue_packets = queue});
      pauses.push_back(0);
      rate_of.push_back(fps);
      continue;
    }
    if (pauses.empty()) continue;
    const size_t number = below(pauses.size());
    Recording* const recording = sim.recording(number);
    if (recording == nullptr) continue;
    switch (what) {
      case 3:
        recording->Pause();
        ++pauses[number];
        break;
      case 4:
        recording->Resume();
        break;
      case 5:
        recording->Watch();
        break;
      case 6:
        recording->Unwatch();
        break;
      default:
        if (below(2) == 0) sim.Stop(number);
        break;
    }
  }
  for (size_t i = 0; i < pauses.size(); ++i)
    if (sim.recording(i) != nullptr) sim.recording(i)->Unwatch();
  End(sim);
  for (const double rate : kRates)
    EXPECT_EQ(sim.encoder(rate).fake.encoders_alive, 0);
  for (size_t i = 0; i < pauses.size(); ++i) {
    SCOPED_TRACE(absl::StrCat("recording ", i));
    const auto finished = sim.Find<Finished>(i);
    ASSERT_TRUE(finished.has_value());
    EXPECT_TRUE(std::holds_alternative<Finished>(sim.told(i).back()));
    if (finished->state == Finished::State::kFailed) {
      EXPECT_EQ(finished->reason, EndReason::kNoFrame) << finished->message;
      EXPECT_FALSE(sim.Find<link::FirstFrame>(i).has_value());
      continue;
    }
    EXPECT_EQ(finished->reason, EndReason::kStopped) << finished->message;
    EXPECT_LE(CountGaps(sim.Samples(i)), pauses[i]);
    const link::Counters& c = finished->counters;
    EXPECT_LE(c.encoded, sim.encoder(rate_of[i]).packets);
  }
}

TEST(SharedCaptureTest, EveryFileIsWholeWhoeverComesAndGoes) {
  if (const uint64_t seed = FromEnvironment("SEED", 0); seed != 0)
    return RunSeed(seed);
  const uint64_t seeds =
      FromEnvironment("KINE_SIM_SEEDS", kThreadSanitizer ? 20 : 100);
  for (uint64_t seed = 1; seed <= seeds && !HasFailure(); ++seed) RunSeed(seed);
}

}  // namespace
}  // namespace kine
