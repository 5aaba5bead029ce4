// Single pictures of recordings over HTTP: the one that was asked for, by the
// number that the test pattern carries.
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "capture/pattern.h"
#include "tests/fakes/frame_numbers.h"
#include "tests/integration/daemon_rig.h"
#include "tests/integration/video_file.h"

namespace kine {
namespace {

constexpr int kWidth = 640;
constexpr int kHeight = 368;
constexpr uint32_t kRgb888 = 0x34324742;  // DRM_FORMAT_BGR888.

class PicturesTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(BinaryPath("kinescope-frames")))
      GTEST_SKIP() << "built without libavcodec";
  }
  void Record(double fps, const std::string& more = "") {
    rig_.StartRecording("a", TestSource(width_, height_, fps, "typing"), more);
  }

  // The number in a PNG or JPEG.
  std::optional<uint32_t> NumberIn(const std::string& picture) {
    const std::string in = rig_.directory() + "/picture";
    std::ofstream(in, std::ios::binary) << picture;
    const ProgramResult decoded =
        RunProgram({"ffmpeg", "-nostdin", "-y", "-v", "error", "-i", in, "-f",
                    "rawvideo", "-pix_fmt", "gray", in + ".gray"});
    EXPECT_EQ(decoded.code, 0) << decoded.err;
    const std::string gray = ReadWholeFile(in + ".gray");
    if (gray.size() != static_cast<size_t>(width_ * height_))
      return std::nullopt;
    return ReadFrameNumber({reinterpret_cast<const std::byte*>(gray.data()),
                            static_cast<size_t>(width_), width_, height_});
  }
  DaemonRig::Answer Frame(const std::string& at,
                          const std::string& owner = "") {
    return rig_.Call("GET", "/v1/recordings/a/frame?at_media_us=" + at, "",
                     owner);
  }

  int width_ = kWidth;
  int height_ = kHeight;
  DaemonRig rig_;
};

TEST_F(PicturesTest, AreTheOnesThatTheVideoShowsThen) {
  Record(30);
  rig_.WaitDurable("a", absl::Milliseconds(600));
  const Json state = rig_.StopRecording("a");
  const std::string file = rig_.Fetch("a");
  const VideoFile video = Decode(file);
  ASSERT_GE(video.pictures.size(), 10u);

  for (const size_t i : {size_t{0}, size_t{5}, video.pictures.size() - 1}) {
    const auto at =
        static_cast<int64_t>(video.pictures[i].seconds * 1e6 + 0.5) + 20;
    const DaemonRig::Answer answer = Frame(absl::StrCat(at));
    ASSERT_EQ(answer.status, 200) << answer.body.text();
    EXPECT_EQ(answer.head.Field("Content-Type"), "image/png");
    EXPECT_NE(answer.head.Field("ETag"), "");
    EXPECT_EQ(NumberIn(answer.body.text()), video.pictures[i].number) << i;
  }
  const std::string saved = rig_.directory() + "/saved";
  EXPECT_EQ(
      Kinectl(rig_, {"frame", "a", "--at=0.1s", "--output=" + saved}).code, 0);
  EXPECT_TRUE(ReadWholeFile(saved) == Frame("100000").body.text());
  // To the last microsecond, and no further.
  const int64_t end = state.Int("media_us");
  EXPECT_EQ(Frame(absl::StrCat(end)).status, 200);
  const DaemonRig::Answer behind = Frame(absl::StrCat(end + 1));
  EXPECT_EQ(behind.status, 404);
  EXPECT_EQ(behind.body.Text("code"), "no_such_moment");
  EXPECT_EQ(behind.body.Text("field"), "at_media_us");
  EXPECT_EQ(Frame("-1").status, 400);
  EXPECT_EQ(Frame("0", "somebody").status, 404);

  // Of the picture with most damage, behind the first; the same ever after.
  const std::vector<int> damage = DamagedMacroblocks(file);
  ASSERT_EQ(damage.size(), video.pictures.size());
  const auto most = *std::max_element(damage.begin() + 1, damage.end());
  size_t busiest = damage.size() - 1;
  while (damage[busiest] != most) --busiest;
  const DaemonRig::Answer thumbnail =
      rig_.Call("GET", "/v1/recordings/a/thumbnail");
  ASSERT_EQ(thumbnail.status, 200) << thumbnail.body.text();
  EXPECT_EQ(thumbnail.head.Field("Content-Type"), "image/jpeg");
  EXPECT_EQ(NumberIn(thumbnail.body.text()), video.pictures[busiest].number);
  EXPECT_TRUE(rig_.Call("GET", "/v1/recordings/a/thumbnail").body.text() ==
              thumbnail.body.text());
  // One that was damaged is made anew.
  const std::filesystem::path kept =
      std::filesystem::path(rig_.VideoPath("a")).parent_path() /
      "thumbnail.jpg";
  std::filesystem::resize_file(kept, 100);
  EXPECT_TRUE(rig_.Call("GET", "/v1/recordings/a/thumbnail").body.text() ==
              thumbnail.body.text());
}

// Times are recorded ones throughout: also of a finished file that is compact.
TEST_F(PicturesTest, OfARecordingThatRunsStayWhatTheyWere) {
  // Large and slow: less than 1 % of it changes within a second, so that time
  // runs faster from 1.5 s on.
  width_ = 1920;
  height_ = 1088;
  Record(4, ", \"idle\": {\"compact_after_ms\": 500, \"compact_speed\": 8}");
  rig_.WaitDurable("a", absl::Milliseconds(1'950));

  const DaemonRig::Answer running = Frame("1900000");
  ASSERT_EQ(running.status, 200) << running.body.text();
  EXPECT_NE(running.head.Field("ETag"), "");
  const DaemonRig::Answer thumbnail =
      rig_.Call("GET", "/v1/recordings/a/thumbnail");
  EXPECT_TRUE(NumberIn(thumbnail.body.text()).has_value());
  EXPECT_EQ(thumbnail.head.Field("Cache-Control"), "no-store");
  EXPECT_EQ(thumbnail.head.Field("ETag"), "");

  rig_.Call("POST", "/v1/recordings/a/pause");
  const int64_t paused_us = rig_.State("a").Int("media_us");
  const DaemonRig::Answer paused = Frame(absl::StrCat(paused_us));
  EXPECT_EQ(paused.status, 200) << paused.body.text();
  EXPECT_EQ(paused.head.Field("Cache-Control"), "no-store");
  const DaemonRig::Answer ahead = Frame(absl::StrCat(paused_us + 1));
  EXPECT_EQ(ahead.status, 404);
  EXPECT_EQ(ahead.body.Text("code"), "no_such_moment");

  const Json state = rig_.StopRecording("a");
  ASSERT_EQ(state.Text("artifact.view"), "compact");
  ASSERT_LT(state.Int("artifact.compact_us"), state.Int("media_us"));
  const DaemonRig::Answer finished = Frame("1900000");
  EXPECT_TRUE(finished.body.text() == running.body.text());
  EXPECT_EQ(finished.head.Field("ETag"), running.head.Field("ETag"));
  const std::string realtime = rig_.directory() + "/realtime.mp4";
  ASSERT_EQ(
      Kinectl(rig_, {"get", "a", "--view=realtime", "--output=" + realtime})
          .code,
      0);
  std::optional<uint32_t> shown;
  for (const VideoPicture& picture : Decode(realtime).pictures)
    if (picture.seconds <= 1.9) shown = picture.number;
  EXPECT_EQ(NumberIn(finished.body.text()), shown);
}

TEST_F(PicturesTest, SayWhyThereIsNone) {
  rig_.StartRecording("a", "{\"pipewire\":{\"name\":\"nobody\"}}");
  const DaemonRig::Answer early = Frame("0");
  EXPECT_EQ(early.status, 409);
  EXPECT_TRUE(absl::StrContains(early.body.Text("message"), "first_frame"));
  rig_.StopRecording("a");
  EXPECT_EQ(Frame("0").status, 409);
  rig_.Call("DELETE", "/v1/recordings/a");

  Record(30);
  rig_.WaitFor("a", "first_frame");
  rig_.StopRecording("a");
  // The type of the index: nobody can read such a file.
  std::fstream(rig_.VideoPath("a"),
               std::ios::in | std::ios::out | std::ios::binary)
          .seekp(36)
      << "xxxx";
  const DaemonRig::Answer damaged = Frame("0");
  EXPECT_EQ(damaged.status, 500);
  EXPECT_EQ(damaged.body.Text("message"), "cannot make the picture: no moov");
}

// Two decode at a time, some wait, the rest is told so; nothing is lost.
TEST_F(PicturesTest, AreMadeAFewAtATime) {
  Record(30);
  rig_.WaitFor("a", "first_frame");
  rig_.StopRecording("a");
  std::vector<std::thread> clients;
  std::vector<int> statuses(24);
  for (int& status : statuses)
    clients.emplace_back([&] { status = Frame("0").status; });
  for (std::thread& client : clients) client.join();
  for (const int status : statuses)
    EXPECT_TRUE(status == 200 || status == 429) << status;
  EXPECT_GE(std::count(statuses.begin(), statuses.end(), 200), 16);
  EXPECT_EQ(Frame("0").status, 200);
}

std::string Escaped(const std::string& json) {
  return absl::StrReplaceAll(json, {{"{", "%7B"}, {"}", "%7D"}, {"\"", "%22"}});
}

// What ffmpeg makes of a picture: rows of R, G, B.
std::string Rgb(const std::string& path) {
  const ProgramResult decoded =
      RunProgram({"ffmpeg", "-nostdin", "-y", "-v", "error", "-i", path, "-f",
                  "rawvideo", "-pix_fmt", "rgb24", path + ".rgb"});
  EXPECT_EQ(decoded.code, 0) << decoded.err;
  return ReadWholeFile(path + ".rgb");
}

// That it is the very pixels that the pattern paints, below its code, which
// holds the time.
void ExpectPainted(const std::string& rgb) {
  ASSERT_EQ(rgb.size(), size_t{kWidth} * kHeight * 3);
  std::string green;
  for (size_t at = 1; at < rgb.size(); at += 3) green.push_back(rgb[at]);
  const auto number =
      ReadFrameNumber({reinterpret_cast<const std::byte*>(green.data()), kWidth,
                       kWidth, kHeight});
  ASSERT_TRUE(number.has_value());
  const PatternPicture picture(TestPatternSpec::Pattern::kVideo, kWidth,
                               kHeight);
  std::vector<std::byte> painted(size_t{kWidth} * kHeight * 3);
  PatternTarget target;
  target.fourcc = kRgb888;  // R, G, B in memory.
  target.planes[0] = {painted.data(), size_t{kWidth} * 3};
  picture.Draw(*number, MonoTime(), Damage::Full(), target);
  const auto below =
      static_cast<size_t>(picture.code().area().height) * kWidth * 3;
  EXPECT_TRUE(
      std::equal(painted.begin() + static_cast<ptrdiff_t>(below), painted.end(),
                 reinterpret_cast<const std::byte*>(rgb.data()) + below));
}

TEST(ScreenshotTest, OfASourceThatIsRecordedIsItsRecorders) {
  DaemonRig rig;
  const std::string source = TestSource(kWidth, kHeight, 30, "video");
  rig.StartRecording("a", source);
  rig.WaitFor("a", "first_frame");
  const std::string target =
      absl::StrCat("/v1/screenshot?source=", Escaped(source));
  const std::string path = rig.directory() + "/shot.png";
  for (int i = 0; i < 2; ++i) {
    const DaemonRig::Answer shot = rig.Call("GET", target);
    ASSERT_EQ(shot.status, 200) << shot.body.text();
    EXPECT_EQ(shot.head.Field("Kinescope-Taken-By"), "recorder") << rig.Log();
    std::ofstream(path, std::ios::binary) << shot.body.text();
    ExpectPainted(Rgb(path));
  }
  const DaemonRig::Answer half =
      rig.Call("GET", absl::StrCat(target, "&width=", kWidth / 2));
  EXPECT_EQ(half.head.Field("Kinescope-Taken-By"), "recorder") << rig.Log();
  std::ofstream(path, std::ios::binary) << half.body.text();
  EXPECT_EQ(Rgb(path).size(), size_t{kWidth} / 2 * (kHeight / 2) * 3);

  // One that does not answer is not waited for.
  const pid_t recorder = rig.RecorderOf("a");
  ASSERT_EQ(::kill(recorder, SIGSTOP), 0);
  const DaemonRig::Answer other = rig.Call("GET", target);
  ASSERT_EQ(::kill(recorder, SIGCONT), 0);
  EXPECT_EQ(other.status, 200) << other.body.text();
  EXPECT_EQ(other.head.Field("Kinescope-Taken-By"), "process");
  const Json state = rig.StopRecording("a");
  EXPECT_EQ(state.Text("state"), "ready") << state.text();
}

TEST(ScreenshotTest, IsWhatTheSourceShowsInItsOwnColours) {
  DaemonRig rig;
  const std::string source = Escaped(TestSource(kWidth, kHeight, 30, "video"));
  const auto shot = [&](const std::string& more) {
    return rig.Call("GET",
                    absl::StrCat("/v1/screenshot?source=", source, more));
  };
  const DaemonRig::Answer whole = shot("");
  ASSERT_EQ(whole.status, 200) << whole.body.text();
  EXPECT_EQ(whole.head.Field("Content-Type"), "image/png");
  EXPECT_EQ(whole.head.Field("Kinescope-Taken-By"), "process");
  const std::string path = rig.directory() + "/shot.png";
  std::ofstream(path, std::ios::binary) << whole.body.text();
  const std::string rgb = Rgb(path);
  ExpectPainted(rgb);

  // Scaled by its mean; one side keeps the shape.
  const DaemonRig::Answer half = shot(absl::StrCat("&width=", kWidth / 2));
  ASSERT_EQ(half.status, 200);
  std::ofstream(path, std::ios::binary) << half.body.text();
  EXPECT_EQ(Rgb(path).size(), size_t{kWidth} / 2 * (kHeight / 2) * 3);
  // Never enlarged.
  std::ofstream(path, std::ios::binary) << shot("&width=8192").body.text();
  EXPECT_EQ(Rgb(path).size(), rgb.size());
  EXPECT_EQ(shot("&width=0").status, 400);
  EXPECT_EQ(shot("&height=99999").body.Text("field"), "height");

  // Nothing to capture: why, of each.
  const DaemonRig::Answer none = rig.Call("GET", "/v1/screenshot");
  EXPECT_EQ(none.status, 503);
  EXPECT_TRUE(absl::StrContains(none.body.Text("message"), "pipewire: "));

  const ProgramResult result =
      Kinectl(rig, {"shot", "--source=test", "--width=64", "--output=" + path});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(Rgb(path).size(), size_t{64} * 36 * 3);
}

}  // namespace
}  // namespace kine
