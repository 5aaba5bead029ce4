// Drivers that offer more, or less, than the usual one: hints that are not
// used, sizes, qualities; and one that falls silent after it has been trusted.
#include <drm_fourcc.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "tests/va/va_rig.h"

namespace kine {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Outcome = Encoder::Outcome;
using Settings = SoftVaEnv::Settings;
using Way = VaRig::Way;

TestImage Page(int n, int width = 96, int height = 80) {
  TestImage image = RandomImage(width, height, 3);
  image.Fill({n % (width - 17), n % (height - 9), 17, 9},
             {uint8_t(n * 3), uint8_t(n), 99});
  return image;
}

Frame Tiled(const TestImage& image) {
  Frame frame = MemfdFrame(image, 1);
  frame.format.modifier = I915_FORMAT_MOD_X_TILED;
  return frame;
}

// Hints are not sent: a wrong one is a wrong picture (ARCHITECTURE.md).
TEST(VaDriverKinds, HintsThatAreOfferedAreNotUsed) {
  if (!HaveDecoder()) GTEST_SKIP() << "ffmpeg is not installed";
  VaRig rig(Settings{{"STRICT", "1"}, {"DIRTY_RECTS", "4"}, {"ROI", "4"}});
  ASSERT_TRUE(rig.Make().ok());
  ASSERT_TRUE(rig.Encode(Page(1), Way::kUpload).ok());
  Damage damage;
  damage.Add(Rect{2, 2, 18, 10});
  for (const Way way : {Way::kUpload, Way::kImport})
    ASSERT_TRUE(rig.Encode(Page(2), way, {}, &damage).ok());
  EXPECT_EQ(rig.Difference(1), "");
  rig.Reset();
  EXPECT_EQ(rig.env().Complaints(), "");
  EXPECT_THAT(rig.env().Trace(), Not(HasSubstr("Misc ROI")));
  EXPECT_THAT(rig.env().Trace(), Not(HasSubstr("Misc DirtyRect")));
}

TEST(VaDriverKinds, AConverterThatDoesNotScaleIsEnough) {
  if (!HaveDecoder()) GTEST_SKIP() << "ffmpeg is not installed";
  VaRig rig(Settings{{"STRICT", "1"},
                     {"NO_SCALING", "1"},
                     {"MODIFIERS", "0,0x100000000000001"}});
  ASSERT_TRUE(rig.Make().ok());
  ASSERT_TRUE(rig.Encode(Page(1), Way::kImport).ok());
  // Linear and of an odd size: read by the processor.
  ASSERT_TRUE(rig.Encode(Page(2, 97, 81), Way::kImport).ok());
  ASSERT_TRUE(rig.EncodeFrame(Page(3), Tiled(Page(3))).ok());
  EXPECT_EQ(rig.Difference(1), "");
  const size_t before = rig.packets().size();
  // Odd and tiled, which only a stretch by one pixel would take in.
  const auto outcome = rig.EncodeFrame(Page(4, 97, 81), Tiled(Page(4, 97, 81)));
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(*outcome, Outcome::kCannotImport);
  EXPECT_EQ(rig.packets().size(), before);
  ASSERT_TRUE(rig.Encode(Page(5), Way::kUpload).ok());
  EXPECT_TRUE(rig.packets().back().keyframe);
  rig.Reset();
  EXPECT_EQ(rig.env().Complaints(), "");
}

TEST(VaDriverKinds, APictureBeyondTheDriversSizeIsRefusedInWords) {
  VaRig rig(Settings{{"STRICT", "1"}, {"MAX_SIZE", "352"}});
  ASSERT_TRUE(rig.Make().ok());
  ASSERT_TRUE(rig.Encode(Page(1, 352, 80), Way::kUpload).ok());
  const auto outcome = rig.Encode(Page(2, 354, 80), Way::kUpload);
  ASSERT_FALSE(outcome.ok());
  EXPECT_THAT(std::string(outcome.status().message()),
              HasSubstr("up to 352x352; the picture is"));
  rig.Reset();
  EXPECT_EQ(rig.env().Complaints(), "");
}

TEST(VaDriverKinds, TheQualityLevelIsTheDriversToOffer) {
  const auto trace = [](const char* range) {
    VaRig rig(
        Settings{{"STRICT", "1"}, {"QUALITY", range}, {"VENDOR", "Acme 7"}});
    EXPECT_TRUE(rig.Make().ok());
    EXPECT_TRUE(rig.Encode(Page(1), Way::kUpload).ok());
    EXPECT_THAT(rig.encoder().description().version, HasSubstr("Acme 7"));
    rig.Reset();
    EXPECT_EQ(rig.env().Complaints(), "");
    return rig.env().Trace();
  };
  EXPECT_THAT(trace("7"), HasSubstr("Misc QualityLevel 6"));
  EXPECT_THAT(trace("0"), Not(HasSubstr("Misc QualityLevel")));
}

TEST(VaDriverKinds, ADriverThatFallsSilentIsLeftInTime) {
  for (const int depth : {1, 2}) {
    // Behind the trial's pictures and its conversions.
    VaRig rig(Settings{{"STRICT", "1"}, {"HANG", "14"}});
    ASSERT_TRUE(
        rig.Make({}, {.depth = depth, .limit = absl::Milliseconds(250)}).ok());
    absl::Status failed;
    int pictures = 0;
    const absl::Time start = absl::Now();
    while (failed.ok() && pictures < 20)
      failed = rig.Encode(Page(pictures++), Way::kUpload).status();
    EXPECT_TRUE(absl::IsDeadlineExceeded(failed)) << failed;
    EXPECT_GT(pictures, 2);
    // Nor does it wait for what will not come when it goes.
    rig.Reset();
    EXPECT_LT(absl::Now() - start, absl::Seconds(5));
  }
}

}  // namespace
}  // namespace kine
