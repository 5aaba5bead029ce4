// What a running capture shows, for who asks for it.
#include <gtest/gtest.h>

#include <memory>

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

}  // namespace
}  // namespace kine
