// Recordings of parts of one source.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "tests/recorder/shared_sim.h"

namespace kine {
namespace {

using link::EndReason;
using link::Finished;
using testing::AllOf;
using testing::HasSubstr;

TEST(SharedCropTest, EqualCropsShareAnEncoderAndAllHearWhatIsLeftOfThem) {
  SharedSim sim;  // Of 64x48 pixels.
  sim.AddFrames(100);
  const RecordingSettings::Crop crop = {40, 8, 64, 48};
  const size_t a = sim.Start({.crop = crop});
  sim.world().Advance(absl::Seconds(1));
  const size_t b = sim.Start({.crop = crop});
  sim.world().Advance(absl::Seconds(1));
  EXPECT_EQ(sim.encoder().fake.encoders_made, 1);
  EXPECT_EQ(sim.encoder().fake.calls.back().crop, (Rect{40, 8, 24, 40}));
  for (const size_t each : {a, b}) {
    const auto fallback = sim.Find<link::Fallback>(each);
    ASSERT_TRUE(fallback.has_value()) << each;
    EXPECT_EQ(fallback->what, "crop");
    EXPECT_EQ(fallback->from, "64x48+40+8");
    EXPECT_EQ(fallback->to, "24x40+40+8");
    EXPECT_THAT(fallback->reason, HasSubstr("64x48"));
  }

  const size_t whole = sim.Start();
  const size_t outside = sim.Start({.crop = {{64, 0, 16, 16}}});
  sim.world().Advance(absl::Seconds(1));
  EXPECT_EQ(sim.source().sources_alive, 1);
  EXPECT_EQ(sim.encoder().fake.encoders_made, 3);
  EXPECT_FALSE(sim.Find<link::Fallback>(whole).has_value());
  const auto finished = sim.Find<Finished>(outside);
  ASSERT_TRUE(finished.has_value());
  EXPECT_EQ(finished->state, Finished::State::kFailed);
  EXPECT_EQ(finished->reason, EndReason::kCropOutside);
  EXPECT_THAT(finished->message,
              AllOf(HasSubstr("crop: of 16x16+64+0"), HasSubstr("64x48")));
  sim.StopAll();
  ASSERT_TRUE(sim.RunToTheEnd());
  for (const size_t each : {a, b, whole})
    EXPECT_EQ(sim.Find<Finished>(each)->state, Finished::State::kReady);
}

}  // namespace
}  // namespace kine
