// Recordings of a part of the picture.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_format.h"
#include "tests/integration/daemon_rig.h"
#include "tests/integration/video_file.h"

namespace kine {
namespace {

using ::testing::HasSubstr;

constexpr int kWidth = 640;
constexpr int kHeight = 368;
// As fine as it gets: what differs is where, not how well.
constexpr char kFine[] = ", \"encoder\": \"software\", \"quality\": 100";

std::string Crop(int x, int y, int width, int height) {
  return absl::StrFormat(
      "%s, \"crop\": {\"x\": %d, \"y\": %d, \"width\": %d, \"height\": %d}",
      kFine, x, y, width, height);
}

// By how much `part` (rows of R, G, B) differs from `whole` there, on average.
double MeanDifference(const std::string& whole, const std::string& part, int x,
                      int y, int width, int height) {
  int64_t sum = 0;
  for (int row = 0; row < height; ++row)
    for (int i = 0; i < 3 * width; ++i)
      sum += std::abs(
          static_cast<uint8_t>(
              whole[static_cast<size_t>(3 * ((y + row) * kWidth + x) + i)]) -
          static_cast<uint8_t>(part[static_cast<size_t>(3 * row * width + i)]));
  return static_cast<double>(sum) / (3.0 * width * height);
}

TEST(CropTest, TheVideoIsThatPartOfThePicture) {
  DaemonRig rig;
  const std::string source = TestSource(kWidth, kHeight, 30, "still");
  rig.StartRecording("outside", source, Crop(kWidth, 0, 64, 64));
  const Json outside = rig.WaitFor("outside", "ready");
  EXPECT_EQ(outside.Text("state"), "failed") << outside.text();
  EXPECT_EQ(outside.Text("reason"), "crop_outside");
  EXPECT_THAT(outside.Text("message"), HasSubstr("640x368"));

  rig.StartRecording("whole", source, kFine);
  rig.StartRecording("part", source, Crop(101, 33, 306, 214));
  rig.StartRecording("corner", source, Crop(533, 300, 306, 214));
  for (const char* id : {"whole", "part", "corner"}) {
    rig.WaitFor(id, "first_frame");
    EXPECT_EQ(rig.RecorderOf(id), rig.RecorderOf("whole"));
  }
  if (std::filesystem::exists(BinaryPath("kinescope-frames"))) {
    // Without its padding, also while it runs.
    rig.WaitDurable("corner", absl::Milliseconds(1));
    const std::string png = rig.directory() + "/corner.png";
    std::ofstream(png, std::ios::binary)
        << rig.Call("GET", "/v1/recordings/corner/frame?at_media_us=0")
               .body.text();
    EXPECT_EQ(LastPictureRgb(png).size(), size_t{107} * 68 * 3);
  }
  const Json corner = rig.StopRecording("corner");
  EXPECT_EQ(corner.Int("artifact.true_width"), 107) << corner.text();
  EXPECT_EQ(corner.Int("artifact.true_height"), 68);
  EXPECT_THAT(corner.text(), HasSubstr("\"to\":\"107x68+533+300\""));
  const Json part = rig.StopRecording("part");
  EXPECT_EQ(part.Int("settings.crop.x"), 101) << part.text();
  EXPECT_EQ(part.Int("artifact.width"), 306);
  EXPECT_EQ(rig.StopRecording("whole").Text("state"), "ready");

  const std::string all = LastPictureRgb(rig.Fetch("whole"));
  ASSERT_EQ(all.size(), size_t{3} * kWidth * kHeight);
  const std::string shown = LastPictureRgb(rig.Fetch("part"));
  ASSERT_EQ(shown.size(), size_t{3} * 306 * 214);
  EXPECT_LT(MeanDifference(all, shown, 101, 33, 306, 214), 1.5);
  EXPECT_GT(MeanDifference(all, shown, 102, 33, 306, 214), 5);
}

}  // namespace
}  // namespace kine
