// Recorders that are killed or hang in the middle of a recording.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <random>

#include "daemon/base/limits.h"
#include "tests/integration/daemon_rig.h"
#include "tests/integration/event_stream.h"
#include "tests/integration/video_file.h"

namespace kine {
namespace {

using ::testing::HasSubstr;

// What a crash may cost (the figure).
constexpr absl::Duration kLossMax = absl::Milliseconds(600);

TEST(RecorderCrashTest, AKilledRecorderLosesLittleAndNothingOfTheOthers) {
  DaemonRig rig;
  rig.StartRecording("other", TestSource(320, 240));
  std::mt19937 random(20'261'121);
  std::vector<absl::Duration> losses;
  for (int round = 0; round < 5; ++round) {
    const std::string id = "a" + std::to_string(round);
    rig.StartRecording(id, TestSource(640, 360));
    rig.WaitFor(id, "first_frame");
    // Media exists from the first fragment on.
    rig.WaitDurable(id, absl::Milliseconds(300));
    rig.Elapse(
        absl::Milliseconds(std::uniform_int_distribution<int>(0, 700)(random)));
    const pid_t recorder = rig.RecorderOf(id);
    ASSERT_GT(recorder, 0);

    const MonoTime killed_at = SystemClock().Now();
    ASSERT_EQ(::kill(recorder, SIGKILL), 0);

    const Json state = rig.WaitFor(id, "ready");
    ASSERT_EQ(state.Text("state"), "interrupted") << state.text();
    EXPECT_EQ(state.Text("reason"), "recorder_died");
    EXPECT_TRUE(state.Bool("truncated"));
    EXPECT_THAT(state.Text("message"), HasSubstr("signal 9"));
    const VideoFile video = Decode(rig.Fetch(id));
    MissingNumbers(video.Numbers());
    EXPECT_EQ(static_cast<int64_t>(video.pictures.size()),
              state.Int("artifact.frames"));
    ASSERT_TRUE(video.pictures.back().time.has_value());
    losses.push_back(killed_at - *video.pictures.back().time);
  }
  std::sort(losses.begin(), losses.end());
  // The worst of them may have met a stalled machine.
  EXPECT_LE(losses[losses.size() - 2], kLossMax);
  EXPECT_LE(losses.back(), 2 * kLossMax);

  const Json other = rig.StopRecording("other");
  EXPECT_EQ(other.Text("state"), "ready") << other.text();
  EXPECT_EQ(other.Text("reason"), "stopped");
  MissingPictures(Decode(rig.Fetch("other")), other);
}

TEST(RecorderCrashTest, ARecorderKilledBeforeItsFirstFrameLeavesNoFile) {
  DaemonRig rig;
  // Nobody is there: it waits for a source.
  rig.StartRecording("a", "{\"pipewire\":{\"name\":\"nobody\"}}");
  const pid_t recorder = rig.RecorderOf("a");
  ASSERT_GT(recorder, 0);

  ASSERT_EQ(::kill(recorder, SIGKILL), 0);

  const Json state = rig.WaitFor("a", "ready");
  EXPECT_EQ(state.Text("state"), "failed") << state.text();
  EXPECT_EQ(state.Text("reason"), "no_frame");
  rig.StartRecording("b", TestSource(320, 240));
  EXPECT_EQ(rig.WaitFor("b", "first_frame").Text("state"), "recording");
}

TEST(RecorderCrashTest, ARecorderThatHangsIsNoticedByItsSilence) {
  DaemonRig rig;
  EventStream events(rig.socket());
  rig.StartRecording("a", TestSource(640, 360));
  rig.WaitDurable("a", absl::Milliseconds(400));
  const pid_t recorder = rig.RecorderOf("a");
  ASSERT_GT(recorder, 0);

  const MonoTime hung_at = SystemClock().Now();
  ASSERT_EQ(::kill(recorder, SIGSTOP), 0);

  ASSERT_TRUE(events.NextOfType("recorder.died", "a"));
  const absl::Duration noticed = SystemClock().Now() - hung_at;
  const auto silence =
      absl::Milliseconds(limits::kHeartbeatMs * limits::kHeartbeatsMissedMax);
  EXPECT_GE(noticed, silence - absl::Milliseconds(limits::kHeartbeatMs));
  EXPECT_LE(noticed, silence + absl::Seconds(5));
  const Json state = rig.WaitFor("a", "ready");
  EXPECT_EQ(state.Text("state"), "interrupted") << state.text();
  EXPECT_EQ(state.Text("reason"), "recorder_died");
  EXPECT_THAT(state.Text("message"), HasSubstr("silent"));
  MissingNumbers(Decode(rig.Fetch("a")).Numbers());
  EXPECT_EQ(::kill(recorder, 0), -1) << "the process is still there";
}

}  // namespace
}  // namespace kine
