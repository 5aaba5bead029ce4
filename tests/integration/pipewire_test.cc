// Recordings of PipeWire nodes: sources that nobody here wrote, and our own
// page, whose pictures say what is missing.
#include <algorithm>

#include "tests/integration/pipewire_rig.h"
#include "tests/integration/video_file.h"

namespace kine {
namespace {

constexpr char kVideoSrc[] =
    "/usr/libexec/installed-tests/pipewire-0.3/examples/video-src";

TEST_F(PipeWireTest, RecordsTheExampleSourceOfPipeWire) {
  RunSource({kVideoSrc});
  if (IsSkipped()) return;
  rig_->StartRecording("a", Node("video-src"));
  Json state = rig_->WaitFor("a", "first_frame");
  EXPECT_EQ(state.Text("source.kind"), "pipewire");
  EXPECT_EQ(state.Text("source.name"), "video-src");
  rig_->WaitDurable("a", absl::Milliseconds(900));

  state = rig_->StopRecording("a");

  EXPECT_EQ(state.Text("state"), "ready") << state.text();
  EXPECT_EQ(state.Text("reason"), "stopped");
  const VideoFile video = Decode(rig_->Fetch("a"));
  // 25 a second, of which its own timer loses some on a busy machine.
  EXPECT_GE(video.pictures.size(), 10u);
  EXPECT_EQ(static_cast<int64_t>(video.pictures.size()),
            state.Int("frames.encoded"));
  EXPECT_EQ(video.pictures[0].width, state.Int("artifact.width"));
  EXPECT_EQ(video.pictures[0].height, state.Int("artifact.height"));
}

TEST_F(PipeWireTest, RecordsGStreamersTestPicture) {
  RunSource({"gst-launch-1.0", "-q", "videotestsrc", "is-live=true",
             "pattern=smpte", "!",
             "video/x-raw,format=BGRx,width=320,height=240,framerate=30/1", "!",
             "pipewiresink", "mode=provide",
             "stream-properties=p,media.class=Video/Source,node.name=gst"});
  if (IsSkipped()) return;
  rig_->StartRecording("a", Node("gst"));
  rig_->WaitFor("a", "first_frame");
  rig_->WaitDurable("a", absl::Milliseconds(900));

  const Json state = rig_->StopRecording("a");

  EXPECT_EQ(state.Text("state"), "ready") << state.text();
  const std::string file = rig_->Fetch("a");
  EXPECT_GE(Decode(file).pictures.size(), 10u);
  const std::string rgb = LastPictureRgb(file);
  ASSERT_EQ(rgb.size(), 320u * 240 * 3);
  // The bars in their order: grey, yellow, cyan, green, magenta, red, blue, at
  // full brightness.
  constexpr int kBars[7][3] = {{255, 255, 255}, {255, 255, 0}, {0, 255, 255},
                               {0, 255, 0},     {255, 0, 255}, {255, 0, 0},
                               {0, 0, 255}};
  for (size_t bar = 0; bar < 7; ++bar) {
    const size_t x = (2 * bar + 1) * 320 / 14;
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_NEAR(static_cast<uint8_t>(rgb[(60 * 320 + x) * 3 + i]),
                  kBars[bar][i], 6)
          << "bar " << bar << ", channel " << i;
    }
  }
}

// A machine that is busy with other things may lose a frame, and then says so;
// but not every time.
constexpr int kTries = 6;

TEST_F(PipeWireTest, ShowsEveryFrameOfOurPageAndEncodesOnlyItsDamage) {
  RunPage({"--size=640x368", "--fps=10", "--pattern=typing"});
  uint64_t missing = 1;
  for (int i = 0; i < kTries && missing != 0; ++i) {
    const std::string id = "a" + std::to_string(i);
    rig_->StartRecording(id, Node("page"));
    rig_->WaitFor(id, "first_frame");
    rig_->WaitDurable(id, absl::Milliseconds(1400));

    const Json state = rig_->StopRecording(id);

    ASSERT_EQ(state.Text("state"), "ready") << state.text();
    EXPECT_TRUE(state.Bool("source.has_damage"));
    EXPECT_TRUE(state.Bool("source.has_times"));
    const std::string file = rig_->Fetch(id);
    const VideoFile video = Decode(file);
    missing = MissingPictures(video, state);
    const std::vector<int> damage = DamagedMacroblocks(file);
    ASSERT_EQ(damage.size(), video.pictures.size());
    EXPECT_EQ(damage[0], 40 * 23) << "all of the first picture";
    if (missing != 0) continue;
    EXPECT_GE(video.pictures.size(), 10u);
    // The number and the time (about 27x4 macroblocks) and a letter.
    for (size_t k = 1; k < damage.size(); ++k) {
      EXPECT_GT(damage[k], 0) << k;
      EXPECT_LT(damage[k], 40 * 23 / 4) << k;
    }
  }
  EXPECT_EQ(missing, 0u);
}

TEST_F(PipeWireTest, ASizeChangeInMidRecordingPlaysThrough) {
  RunPage({"--size=640x360", "--second_size=802x450", "--resize_at=20"});
  rig_->StartRecording("a", Node("page"));
  rig_->WaitFor("a", "first_frame");
  rig_->WaitDurable("a", absl::Milliseconds(1400));

  const Json state = rig_->StopRecording("a");

  ASSERT_EQ(state.Text("state"), "ready") << state.text();
  EXPECT_EQ(state.Int("source.width"), 802);
  EXPECT_EQ(state.Int("source.height"), 450);
  const VideoFile video = Decode(rig_->Fetch("a"));
  // One change of size, and the numbers go on over it.
  std::vector<std::pair<int, int>> sizes;
  for (const VideoPicture& picture : video.pictures) {
    const std::pair<int, int> size(picture.width, picture.height);
    if (sizes.empty() || sizes.back() != size) sizes.push_back(size);
  }
  const std::vector<std::pair<int, int>> expected = {{640, 360}, {802, 450}};
  EXPECT_EQ(sizes, expected);
  MissingPictures(video, state);
  EXPECT_GE(video.pictures.size(), 25u);
}

}  // namespace
}  // namespace kine
