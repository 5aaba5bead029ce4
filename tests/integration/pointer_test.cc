// The pointer that a PipeWire node tells as data, drawn into the video.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/integration/pipewire_rig.h"
#include "tests/integration/video_file.h"

namespace kine {
namespace {

constexpr int kWidth = 640;
constexpr int kHeight = 480;
constexpr int kSide = 24;

// By how much the arrow of the demo source, in the picture with this number
// (tools/demo), is missed in the last picture of a file: the mean difference of
// its opaque pixels, black around white, 0 to 255.
double Missed(const std::string& path) {
  const VideoFile video = Decode(path);
  const auto number = video.pictures.back().number;
  const std::string rgb = LastPictureRgb(path);
  if (!number.has_value() || rgb.size() != size_t{3} * kWidth * kHeight)
    return NAN;
  // On a circle; the hotspot is at 2, 1.
  const double angle = *number * 0.02;
  const int left =
      static_cast<int>(kWidth * (0.5 + 0.25 * std::cos(angle))) - 2;
  const int top =
      static_cast<int>(kHeight * (0.5 + 0.25 * std::sin(angle))) - 1;
  int sum = 0;
  int samples = 0;
  for (int y = 0; y < kSide; ++y) {
    const int edge = y * 2 / 3;
    for (int x = 0; x <= edge; ++x) {
      const int wanted = x == 0 || x == edge ? 0 : 255;
      for (int i = 0; i < 3; ++i, ++samples)
        sum +=
            std::abs(wanted - static_cast<uint8_t>(rgb[static_cast<size_t>(
                                  3 * ((top + y) * kWidth + left + x) + i)]));
    }
  }
  return static_cast<double>(sum) / samples;
}

class PointerTest : public PipeWireTest {};

TEST_F(PointerTest, IsInTheVideoThatAsksForItAndInNoOther) {
  RunPage({"--cursor", absl::StrCat("--size=", kWidth, "x", kHeight)});
  const std::string fine = ", \"encoder\": \"software\", \"quality\": 100";
  for (const char* cursor : {"embedded", "metadata"})
    rig_->StartRecording(cursor, Node("page"),
                         absl::StrCat(fine, ", \"cursor\": \"", cursor, "\""));
  for (const char* id : {"embedded", "metadata"})
    rig_->WaitDurable(id, absl::Milliseconds(500));
  EXPECT_EQ(rig_->RecorderOf("embedded"), rig_->RecorderOf("metadata"));
  for (const char* id : {"embedded", "metadata"}) {
    const Json state = rig_->StopRecording(id);
    EXPECT_EQ(state.Text("state"), "ready") << state.text();
    EXPECT_EQ(state.text().find("\"what\":\"cursor\""), std::string::npos);
  }
  EXPECT_LT(Missed(rig_->Fetch("embedded")), 20);
  EXPECT_GT(Missed(rig_->Fetch("metadata")), 60);
}

}  // namespace
}  // namespace kine
