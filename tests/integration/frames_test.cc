// kinescope-frames on finished recordings: the picture that was asked for, and
// no other, as another decoder shows it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/fakes/frame_numbers.h"
#include "tests/integration/daemon_rig.h"
#include "tests/integration/video_file.h"

namespace kine {
namespace {

using ::testing::HasSubstr;

class FramesTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(BinaryPath("kinescope-frames")))
      GTEST_SKIP() << "built without libavcodec";
  }

  // Records until 900 ms are on the disk.
  void Record(int width, int height) {
    rig_ = std::make_unique<DaemonRig>();
    rig_->StartRecording("a", TestSource(width, height));
    rig_->WaitDurable("a", absl::Milliseconds(900));
    state_ = rig_->StopRecording("a");
    file_ = rig_->Fetch("a");
  }
  std::string Out() const { return rig_->directory() + "/out"; }
  ProgramResult Frames(const std::string& arguments) {
    return RunProgram({"sh", "-c",
                       absl::StrCat(BinaryPath("kinescope-frames"), " ",
                                    arguments, " 3<", file_, " 4>", Out())});
  }
  // The luma plane of the picture at `at_us`, and the program's answer.
  std::string Luma(int64_t at_us, Json& answer) {
    const ProgramResult result =
        Frames(absl::StrCat("--format=i420 --at_media_us=", at_us));
    EXPECT_EQ(result.code, 0) << result.err;
    answer = Json(result.out);
    return ReadWholeFile(Out()).substr(
        0, static_cast<size_t>(answer.Int("width") * answer.Int("height")));
  }

  std::unique_ptr<DaemonRig> rig_;
  Json state_{""};
  std::string file_;
};

TEST_F(FramesTest, GivesThePictureThatIsShownAtATime) {
  Record(640, 368);
  const VideoFile video = Decode(file_);
  ASSERT_GE(video.pictures.size(), 10u);
  for (const size_t i :
       {size_t{0}, size_t{1}, size_t{7}, video.pictures.size() - 1}) {
    const VideoPicture& wanted = video.pictures[i];
    const auto begin = static_cast<int64_t>(wanted.seconds * 1e6 + 0.5);
    // Just begun, and just before the next one.
    const bool last = i + 1 == video.pictures.size();
    const auto end = static_cast<int64_t>(
        (last ? wanted.seconds : video.pictures[i + 1].seconds) * 1e6);
    for (const int64_t at : {begin + 20, last ? begin + 20 : end - 20}) {
      Json answer{""};
      const std::string luma = Luma(at, answer);
      ASSERT_EQ(luma.size(), 640u * 368);
      const GrayPicture picture{reinterpret_cast<const std::byte*>(luma.data()),
                                640, 640, 368};
      EXPECT_EQ(ReadFrameNumber(picture), wanted.number) << i << " at " << at;
      EXPECT_NEAR(static_cast<double>(answer.Int("time_us")),
                  static_cast<double>(begin), 12);
    }
  }
}

TEST_F(FramesTest, APngHasTheColoursThatAnotherDecoderShows) {
  Record(322, 242);
  const int64_t last =
      static_cast<int64_t>(Decode(file_).pictures.back().seconds * 1e6) + 20;
  const ProgramResult result = Frames(absl::StrCat("--at_media_us=", last));
  ASSERT_EQ(result.code, 0) << result.err;
  const std::string wanted = LastPictureRgb(file_);
  const ProgramResult decoded = RunProgram(
      {"ffmpeg", "-nostdin", "-v", "error", "-f", "png_pipe", "-i", Out(), "-f",
       "rawvideo", "-pix_fmt", "rgb24", Out() + ".rgb"});
  ASSERT_EQ(decoded.code, 0) << decoded.err;
  const std::string got = ReadWholeFile(Out() + ".rgb");
  ASSERT_EQ(got.size(), 322u * 242 * 3);
  ASSERT_EQ(wanted.size(), got.size());
  // The two place chroma differently at edges; flat areas agree.
  size_t far = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const int a = static_cast<uint8_t>(got[i]);
    const int b = static_cast<uint8_t>(wanted[i]);
    if (a - b > 8 || b - a > 8) ++far;
  }
  EXPECT_LT(far, got.size() / 50);
}

TEST_F(FramesTest, GivesEveryPictureAndCutsThePadding) {
  Record(321, 241);
  const VideoFile video = Decode(file_);

  const ProgramResult result =
      Frames("--all --format=i420 --true_width=321 --true_height=241");

  ASSERT_EQ(result.code, 0) << result.err;
  const Json answer(result.out);
  EXPECT_EQ(answer.Int("frames"), static_cast<int64_t>(video.pictures.size()));
  EXPECT_EQ(answer.Int("width"), 321);
  EXPECT_EQ(answer.Int("height"), 241);
  EXPECT_EQ(ReadWholeFile(Out()).size(),
            video.pictures.size() * (321 * 241 + 2 * 161 * 121));
}

TEST_F(FramesTest, SaysWhatIsWrong) {
  Record(320, 240);
  ProgramResult result = Frames("--at_media_us=99000000");
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, HasSubstr("the recording ends at "));
  result = Frames("--at_media_us=0 --all");
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err, HasSubstr("--at_media_us"));
  result = Frames("--at_media_us=0 --format=gif");
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err, HasSubstr("png, jpeg or i420"));
  // Cut off behind the index.
  ASSERT_EQ(RunProgram({"truncate", "-s", "-2000", file_}).code, 0);
  result = Frames("--all --format=i420");
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.err, "");
  ASSERT_EQ(RunProgram({"truncate", "-s", "100", file_}).code, 0);
  result = Frames("--at_media_us=0");
  EXPECT_EQ(result.code, 1);
}

}  // namespace
}  // namespace kine
