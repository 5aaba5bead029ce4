// Long runs and a lost GPU: every counter wraps, a GPU is reset, a picture is
// as large as they come.
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/va/va_rig.h"

namespace kine {
namespace {

using Way = VaRig::Way;

// A block at another place in every picture.
TestImage Moved(TestImage image, int number) {
  image.Fill({number % 37, number % 23, 5, 4},
             {static_cast<uint8_t>(number * 7), 90, 200});
  return image;
}

class EnduranceTest : public testing::TestWithParam<const char*> {};

TEST_P(EnduranceTest, SevenHundredPicturesCrossEveryWrap) {
  if (!HaveDecoder()) GTEST_SKIP() << "ffmpeg is not installed";
  VaRig rig(SoftVaEnv::Settings{{"STRICT", "1"}, {"PACKED", GetParam()}});
  const absl::Status made = rig.Make({}, {.depth = 2});
  ASSERT_TRUE(made.ok()) << made;
  const TestImage page = RandomImage(64, 48, 5);
  // frame_num wraps at 256 in the first stretch, which has no second keyframe;
  // then many keyframes, some in a row.
  for (int i = 0; i < 700; ++i) {
    const bool keyframe = i > 600 && (i % 10 == 0 || i % 10 == 1);
    const auto outcome =
        rig.Encode(Moved(page, i), Way::kUpload, {.keyframe = keyframe});
    ASSERT_TRUE(outcome.ok()) << i << ": " << outcome.status();
  }
  EXPECT_EQ(rig.Difference(0), "");
  EXPECT_EQ(rig.packets().size(), 700u);
  rig.Reset();
  EXPECT_EQ(rig.env().Complaints(), "");
}

INSTANTIATE_TEST_SUITE_P(All, EnduranceTest, testing::Values("0x1f", "0"),
                         [](const testing::TestParamInfo<const char*>& tested) {
                           return absl::StrCat("packed", tested.param);
                         });

TEST(LargePictureTest, FourThousandPixelsAreExact) {
  if (!HaveDecoder()) GTEST_SKIP() << "ffmpeg is not installed";
  VaRig rig(SoftVaEnv::Settings{{"STRICT", "1"}, {"NEED_CODED_SIZE", "1"}});
  const absl::Status made = rig.Make();
  ASSERT_TRUE(made.ok()) << made;
  TestImage image(3840, 2160);
  image.Fill({0, 0, 3840, 2160}, {200, 210, 220});
  for (int i = 0; i < 2; ++i) {
    image.Fill({3700 - i * 900, 2100 - i * 700, 130, 50}, {250, 20, 90});
    const auto outcome = rig.Encode(image, Way::kUpload);
    ASSERT_TRUE(outcome.ok()) << outcome.status();
  }
  EXPECT_EQ(rig.Difference(0), "");
  rig.Reset();
  EXPECT_EQ(rig.env().Complaints(), "");
}

TEST(GpuResetTest, ANewDisplayGoesOnWithAKeyframe) {
  if (!HaveDecoder()) GTEST_SKIP() << "ffmpeg is not installed";
  // The first two pictures of each display are its trial.
  VaRig rig(SoftVaEnv::Settings{{"RESET", "EndPicture:5"}, {"DISPLAYS", "1"}});
  ASSERT_TRUE(rig.Make().ok());
  const TestImage page = RandomImage(64, 48, 5);
  int good = 0;
  int number = 0;
  while (rig.Encode(Moved(page, number), Way::kUpload).ok()) {
    ++number;
    ASSERT_LT(++good, 10) << "the reset did not come";
  }
  // As it is: nothing works on the lost display, a keyframe least of all.
  EXPECT_FALSE(
      rig.Encode(Moved(page, number), Way::kUpload, {.keyframe = true}).ok());
  ASSERT_TRUE(rig.Make().ok());
  for (int i = 0; i < 3; ++i) {
    const auto outcome = rig.Encode(Moved(page, number + i), Way::kUpload);
    ASSERT_TRUE(outcome.ok()) << outcome.status();
  }
  EXPECT_EQ(rig.Difference(0), "");
  ASSERT_EQ(rig.packets().size(), static_cast<size_t>(good) + 3);
  EXPECT_TRUE(rig.packets()[static_cast<size_t>(good)].keyframe);
  rig.Reset();
  EXPECT_EQ(rig.env().Complaints(), "");
}

}  // namespace
}  // namespace kine
