// What a running capture shows, for who asks for it.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "daemon/base/limits/recorders.h"
#include "daemon/recorder/shots.h"
#include "tests/recorder/shared_sim.h"

namespace kine {
namespace {

using E = FakeSourceEvent;

// Asks for a picture; what was handed out so far.
struct Asked {
  int answers = 0;
  bool had_one = false;
};
std::shared_ptr<Asked> AskForPicture(SharedSim& sim) {
  auto asked = std::make_shared<Asked>();
  EXPECT_TRUE(sim.shared().TakePicture(
      TestRequest(), [asked](std::shared_ptr<const Frame> frame) {
        ++asked->answers;
        asked->had_one = frame != nullptr;
      }));
  EXPECT_EQ(asked->answers, 0);
  return asked;
}

TEST(CapturePictureTest, APictureIsTheNewestFrameAlsoOnAStillScreen) {
  SharedSim sim;
  sim.AddFrames(25);
  EXPECT_FALSE(sim.shared().TakePicture(
      TestRequest(), [](std::shared_ptr<const Frame>) { FAIL(); }));
  sim.Start();
  sim.world().Advance(absl::Seconds(20));
  const auto asked = AskForPicture(sim);
  sim.world().Settle();  // No time passes.
  EXPECT_EQ(asked->answers, 1);
  EXPECT_TRUE(asked->had_one);
  sim.StopAll();
  ASSERT_TRUE(sim.RunToTheEnd());
  EXPECT_EQ(sim.source().frames_back, sim.source().frames_lent);
}

TEST(CapturePictureTest, WithoutAFrameItIsSaidSoonThatThereIsNone) {
  SharedSim sim;
  sim.source().script.push_back({absl::Seconds(5), E::kFrame});
  sim.Start();
  sim.world().Advance(absl::Seconds(1));
  const auto none = AskForPicture(sim);
  sim.world().Advance(absl::Milliseconds(110));
  EXPECT_EQ(none->answers, 1);
  EXPECT_FALSE(none->had_one);
  // The next one that comes.
  sim.world().Advance(absl::Seconds(3.84));
  const auto next = AskForPicture(sim);
  sim.world().Advance(absl::Milliseconds(110));
  EXPECT_EQ(next->answers, 1);
  EXPECT_TRUE(next->had_one);
  // And one who asks when all ends is answered.
  const auto last = AskForPicture(sim);
  sim.StopAll();
  ASSERT_TRUE(sim.RunToTheEnd());
  EXPECT_EQ(last->answers, 1);
}

UniqueFd Memory() { return UniqueFd(::memfd_create("shot", MFD_CLOEXEC)); }

TEST(ShotsTest, AnswersEachAndMakesAFewAtATime) {
  SharedSim sim;
  sim.AddFrames(25);
  sim.Start();
  sim.world().Advance(absl::Seconds(2));
  std::vector<link::ShotTaken> taken;
  Shots shots(sim.control(), sim.control(), sim.shared(),
              [&](link::ShotTaken one) { taken.push_back(std::move(one)); });
  const auto take = [&](const std::string& id, const SourceRequest& source) {
    link::Shot shot;
    shot.id = id;
    shot.settings.source = source;
    shots.Take(shot, Memory());
  };

  take("elsewhere", TestRequest{.width = 4});
  sim.world().Settle();
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_EQ(taken[0].error, "this source is not captured here");
  taken.clear();

  for (int i = 0; i <= limits::kShotsAtOnce; ++i)
    take(std::to_string(i), TestRequest());
  EXPECT_FALSE(shots.idle());
  sim.world().Settle();
  EXPECT_TRUE(shots.idle());
  ASSERT_EQ(taken.size(), 1u + limits::kShotsAtOnce);
  std::vector<std::string> refused;
  for (const link::ShotTaken& one : taken)
    if (one.error == "this recorder makes 4 pictures already")
      refused.push_back(one.id);
  EXPECT_EQ(refused, std::vector{std::to_string(limits::kShotsAtOnce)});
  // There is room again.
  taken.clear();
  take("again", TestRequest());
  sim.world().Settle();
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_NE(taken[0].error, "this recorder makes 4 pictures already");
  sim.StopAll();
  ASSERT_TRUE(sim.RunToTheEnd());
}

}  // namespace
}  // namespace kine
