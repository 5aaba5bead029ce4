// A pause in a real recording: what is in the file and what is not.
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <string>

#include "tests/integration/daemon_rig.h"
#include "tests/integration/video_file.h"

namespace kine {
namespace {

TEST(PauseTest, TheFileShowsWhatCameBeforeAndAfterAndNotTheTimeBetween) {
  DaemonRig rig;
  rig.StartRecording("a", TestSource(320, 240, 10));
  rig.WaitDurable("a", absl::Milliseconds(400));

  const ProgramResult paused = Kinectl(rig, {"pause", "a", "--json"});
  ASSERT_EQ(paused.code, 0) << paused.err;
  EXPECT_EQ(Json(paused.out).Text("state"), "paused");
  const int64_t media = Json(paused.out).Int("media_us");
  rig.Elapse(absl::Milliseconds(1500));
  EXPECT_EQ(rig.State("a").Int("media_us"), media);
  const ProgramResult resumed = Kinectl(rig, {"resume", "a", "--json"});
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_EQ(Json(resumed.out).Text("state"), "recording");
  rig.WaitDurable("a", absl::Microseconds(media) + absl::Milliseconds(400));
  const Json ended = rig.StopRecording("a");

  EXPECT_EQ(ended.Text("state"), "ready");
  EXPECT_GE(ended.Int("paused_us"), 1'400'000);
  EXPECT_GE(ended.Int("frames.skipped_paused"), 1);
  const VideoFile video = Decode(rig.Fetch("a"));
  ASSERT_GE(video.pictures.size(), 4u);
  EXPECT_NEAR(video.duration * 1e6,
              static_cast<double>(ended.Int("artifact.duration_us")), 1e5);
  // The pictures' own clock jumps where the file's does not.
  double jump = 0;
  double longest = 0;
  for (size_t i = 1; i < video.pictures.size(); ++i) {
    const VideoPicture& before = video.pictures[i - 1];
    const VideoPicture& now = video.pictures[i];
    ASSERT_TRUE(before.time.has_value() && now.time.has_value());
    const double shown = now.seconds - before.seconds;
    longest = std::max(longest, shown);
    jump =
        std::max(jump, absl::ToDoubleSeconds(*now.time - *before.time) - shown);
  }
  EXPECT_GE(jump, 1.2);
  EXPECT_LE(longest, 1.2);
}

TEST(PauseTest, WhatWasPausedWhenTheDaemonWasKilledIsRecovered) {
  DaemonRig rig;
  rig.StartRecording("a", TestSource(320, 240, 10));
  rig.WaitDurable("a", absl::Milliseconds(400));
  ASSERT_EQ(rig.Call("POST", "/v1/recordings/a/pause").status, 200);
  rig.daemon().Signal(SIGKILL);
  rig.daemon().Wait();
  ASSERT_TRUE(rig.Start());

  const Json state = rig.WaitFor("a", "ready");

  EXPECT_EQ(state.Text("state"), "interrupted");
  EXPECT_GE(Decode(rig.Fetch("a")).pictures.size(), 2u);
}

}  // namespace
}  // namespace kine
