// Recordings that share their source's recorder.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <string>

#include "tests/integration/daemon_rig.h"
#include "tests/integration/video_file.h"

namespace kine {
namespace {

using ::testing::HasSubstr;

TEST(SharedRecorderTest, OneSourceHasOneRecorderWhoseDeathLosesNoRecording) {
  DaemonRig rig;
  const std::string desk = TestSource(320, 240);
  for (const char* id : {"a", "b"}) rig.StartRecording(id, desk);
  rig.StartRecording("other", TestSource(160, 120));
  for (const char* id : {"a", "b", "other"})
    rig.WaitDurable(id, absl::Milliseconds(300));
  const pid_t recorder = rig.RecorderOf("a");
  ASSERT_GT(recorder, 0);
  EXPECT_EQ(rig.RecorderOf("b"), recorder);
  EXPECT_NE(rig.RecorderOf("other"), recorder);
  const Json info = rig.Call("GET", "/v1/info").body;
  EXPECT_EQ(info.Int("recorders.running"), 2);
  EXPECT_EQ(info.Int("recorders.uses"), 3);

  ASSERT_EQ(::kill(recorder, SIGKILL), 0);

  for (const char* id : {"a", "b"}) {
    const Json state = rig.WaitFor(id, "ready");
    EXPECT_EQ(state.Text("state"), "interrupted") << state.text();
    EXPECT_EQ(state.Text("reason"), "recorder_died");
    EXPECT_THAT(state.Text("message"), HasSubstr("signal 9"));
    const VideoFile video = Decode(rig.Fetch(id));
    EXPECT_EQ(static_cast<int64_t>(video.pictures.size()),
              state.Int("artifact.frames"));
  }
  EXPECT_EQ(rig.StopRecording("other").Text("state"), "ready");
}

TEST(SharedRecorderTest, AStopTakesNothingFromTheOther) {
  DaemonRig rig;
  const std::string desk = TestSource(320, 240);
  rig.StartRecording("a", desk);
  rig.WaitFor("a", "first_frame");
  rig.StartRecording("b", desk);
  rig.WaitDurable("b", absl::Milliseconds(300));
  const pid_t recorder = rig.RecorderOf("a");

  const Json first = rig.StopRecording("a");

  EXPECT_EQ(first.Text("state"), "ready") << first.text();
  rig.WaitDurable("b", absl::Milliseconds(1'000));
  EXPECT_EQ(rig.RecorderOf("b"), recorder);
  const Json second = rig.StopRecording("b");
  EXPECT_EQ(second.Text("state"), "ready") << second.text();
  for (const char* id : {"a", "b"}) {
    const VideoFile video = Decode(rig.Fetch(id));
    MissingPictures(video, id == std::string("a") ? first : second);
  }
}

}  // namespace
}  // namespace kine
