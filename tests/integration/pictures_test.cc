// Single pictures of recordings over HTTP: the one that was asked for, by the
// number that the test pattern carries.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/fakes/frame_numbers.h"
#include "tests/integration/daemon_rig.h"
#include "tests/integration/video_file.h"

namespace kine {
namespace {

constexpr int kWidth = 640;
constexpr int kHeight = 368;

class PicturesTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(BinaryPath("kinescope-frames")))
      GTEST_SKIP() << "built without libavcodec";
    rig_.StartRecording("a", TestSource(kWidth, kHeight, 30, "typing"));
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
    if (gray.size() != size_t{kWidth} * kHeight) return std::nullopt;
    return ReadFrameNumber({reinterpret_cast<const std::byte*>(gray.data()),
                            kWidth, kWidth, kHeight});
  }
  DaemonRig::Answer Frame(const std::string& at,
                          const std::string& owner = "") {
    return rig_.Call("GET", "/v1/recordings/a/frame?at_media_us=" + at, "",
                     owner);
  }

  DaemonRig rig_;
};

TEST_F(PicturesTest, AreTheOnesThatTheVideoShowsThen) {
  rig_.WaitDurable("a", absl::Milliseconds(600));
  EXPECT_EQ(Frame("0").status, 409);  // Not finished.
  EXPECT_EQ(rig_.Call("GET", "/v1/recordings/a/thumbnail").status, 409);
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
}

// Two decode at a time, some wait, the rest is told so; nothing is lost.
TEST_F(PicturesTest, AreMadeAFewAtATime) {
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

}  // namespace
}  // namespace kine
