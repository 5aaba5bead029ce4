// The parts of the VA encoder that need no driver, and the choice of a device.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <va/va.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "encode/va/va_device.h"
#include "encode/va/va_display.h"
#include "encode/va/va_gop.h"
#include "encode/va/va_status.h"
#include "tests/va/va_rig.h"

namespace kine {
namespace {

using Settings = SoftVaEnv::Settings;

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(VaGopTest, EachPictureRefersToTheOneBefore) {
  VaGop gop;
  VaPicture last;
  for (int i = 0; i < 600; ++i) {
    const VaPicture next = gop.Next(i == 400, 30);
    EXPECT_EQ(next.idr, i == 0 || i == 400);
    const int since = i < 400 ? i : i - 400;
    EXPECT_EQ(next.frame_num, since % 256);
    EXPECT_EQ(next.order, 2 * since);
    if (i > 0) {
      EXPECT_NE(next.reconstructed, last.reconstructed);
    }
    if (!next.idr) {
      EXPECT_EQ(next.reference, last.reconstructed);
      EXPECT_EQ(next.reference_frame_num, last.frame_num);
    }
    gop.Took(next);
    last = next;
  }
}

TEST(VaGopTest, NeighbouringKeyframesDiffer) {
  VaGop gop;
  uint16_t before = 7;
  for (int i = 0; i < 5; ++i) {
    // One that the driver refused changes nothing.
    (void)gop.Next(true, 30);
    const VaPicture next = gop.Next(true, 30);
    EXPECT_NE(next.idr_pic_id, before);
    before = next.idr_pic_id;
    gop.Took(next);
  }
}

TEST(VaStatusTest, KeepsWhatTheDriverSaid) {
  EXPECT_TRUE(VaError(VA_STATUS_SUCCESS, "vaX").ok());
  const absl::Status timed_out = VaError(VA_STATUS_ERROR_TIMEDOUT, "vaX");
  EXPECT_TRUE(absl::IsDeadlineExceeded(timed_out));
  EXPECT_EQ(VaStatusOf(timed_out), VA_STATUS_ERROR_TIMEDOUT);
  EXPECT_THAT(timed_out.message(), HasSubstr("vaX: "));
  EXPECT_EQ(VaStatusOf(absl::UnknownError("")), VA_STATUS_SUCCESS);
}

TEST(VaDeviceTest, ListsRenderNodesByNumber) {
  std::string directory = testing::TempDir() + "dri-XXXXXX";
  ASSERT_NE(mkdtemp(directory.data()), nullptr);
  for (const char *const name :
       {"renderD129", "renderD1000", "card0", "renderD128", "renderDx"}) {
    std::ofstream(absl::StrCat(directory, "/", name)) << "";
  }
  EXPECT_THAT(ListRenderNodes(directory),
              ElementsAre(directory + "/renderD128", directory + "/renderD129",
                          directory + "/renderD1000"));
  std::filesystem::remove_all(directory);
  EXPECT_THAT(ListRenderNodes(directory), IsEmpty());
}

TEST(VaDeviceTest, SaysWhyItHasNone) {
  const SoftVaEnv env(Settings{{"EP", "none"}});
  const auto none = CreateVaEncoder({}, {.render_node = kFakeRenderNode});
  EXPECT_TRUE(absl::IsUnimplemented(none.status()));
  EXPECT_THAT(none.status().message(),
              AllOf(HasSubstr(kFakeRenderNode), HasSubstr("no H.264")));
  const auto missing = CreateVaEncoder({}, {.render_node = "/dev/dri/nope"});
  EXPECT_THAT(missing.status().message(),
              AllOf(HasSubstr("/dev/dri/nope"), HasSubstr("No such file")));
  EXPECT_TRUE(
      absl::IsInvalidArgument(CreateVaEncoder({.quality = 101}, {}).status()));
}

TEST(VaDeviceTest, TheVariableChoosesAndTheOptionWins) {
  const SoftVaEnv env;
  setenv("KINESCOPE_RENDER_NODE", kFakeRenderNode, 1);
  EXPECT_TRUE(CreateVaEncoder({}, {}).ok());
  const auto other = CreateVaEncoder({}, {.render_node = "/dev/dri/nope"});
  EXPECT_THAT(other.status().message(), HasSubstr("/dev/dri/nope"));
  unsetenv("KINESCOPE_RENDER_NODE");
}

TEST(VaDeviceTest, SurvivesADriverNameForAnotherDevice) {
  SoftVaEnv env;
  // What libva finds under the name of the kernel driver's VA driver.
  const std::string own = std::getenv("LIBVA_DRIVERS_PATH");
  std::filesystem::create_symlink(own + "/softva_drv_video.so",
                                  env.File("iHD_drv_video.so"));
  const std::string directory =
      std::filesystem::path(env.File("iHD_drv_video.so")).parent_path();
  setenv("LIBVA_DRIVERS_PATH", directory.c_str(), 1);
  setenv("LIBVA_DRIVER_NAME", "nouveau", 1);
  const auto refused = CreateVaEncoder({}, {.render_node = kFakeRenderNode});
  EXPECT_THAT(refused.status().message(), HasSubstr("vaInitialize"));
  setenv("FAKE_DRM_DRIVER", "i915", 1);
  EXPECT_TRUE(CreateVaEncoder({}, {.render_node = kFakeRenderNode}).ok());
  for (const char *const kernel : {"vgem", "nvidia-drm"}) {
    setenv("FAKE_DRM_DRIVER", kernel, 1);
    const auto skipped = CreateVaEncoder({}, {.render_node = kFakeRenderNode});
    EXPECT_THAT(skipped.status().message(), HasSubstr(kernel));
  }
  unsetenv("FAKE_DRM_DRIVER");
}

TEST(VaDeviceTest, FallsBackToTheQuantiserWhenRateControlFails) {
  // As where a firmware is missing: it is offered, and the first picture that
  // uses it fails.
  VaRig rig(Settings{{"FAULT", "EndPicture:1=0x17"},
                     {"RC", absl::StrCat(VA_RC_CQP | VA_RC_VBR)}});
  ASSERT_TRUE(rig.Make({.bitrate = 1'000'000}).ok());
  rig.Reset();
  EXPECT_THAT(rig.env().Trace(), HasSubstr("rc=0x10"));
  EXPECT_EQ(rig.env().Complaints(), "");
}

TEST(VaDeviceTest, FallsBackToTheOtherEntryPoint) {
  {
    VaRig rig(Settings{{"EP", "both"}, {"FAULT", "CreateConfig:1=0x14"}});
    ASSERT_TRUE(rig.Make().ok());
    EXPECT_EQ(rig.encoder().description().profile, "High, EncSlice");
    EXPECT_EQ(rig.encoder().description().name, "vaapi");
  }
  VaRig rig(Settings{{"EP", "both"}});
  ASSERT_TRUE(rig.Make().ok());
  EXPECT_EQ(rig.encoder().description().profile, "High, EncSliceLP");
}

}  // namespace
}  // namespace kine
