// Replays: what was on the screen before anybody asked.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/integration/daemon_rig.h"
#include "tests/integration/event_stream.h"
#include "tests/integration/video_file.h"

namespace kine {
namespace {

using ::testing::HasSubstr;

DaemonRig::Options Keeping(int seconds, const std::string& source) {
  DaemonRig::Options options;
  options.flags = {absl::StrCat("--replay_seconds=", seconds),
                   absl::StrCat("--replay_source=", source)};
  return options;
}

DaemonRig::Answer Replay(DaemonRig& rig, const std::string& body,
                         const std::string& owner = "") {
  return rig.Call("POST", "/v1/replays", body, owner);
}

// Until the ring holds so much; /v1/info is where it is told.
void WaitKept(DaemonRig& rig, absl::Duration media) {
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  while (rig.Call("GET", "/v1/info").body.Int("backends.replay.media_us") <
         absl::ToInt64Microseconds(media)) {
    ASSERT_LT(absl::Now(), deadline) << rig.Log();
    rig.Elapse(absl::Milliseconds(50));
  }
}

TEST(ReplayTest, WithoutARingItSaysHowToHaveOne) {
  DaemonRig rig;
  const DaemonRig::Answer off = Replay(rig, R"({"seconds":5})");
  EXPECT_EQ(off.status, 409);
  EXPECT_EQ(off.body.Text("code"), "replay_off");
  EXPECT_THAT(off.body.Text("message"), HasSubstr("--replay_seconds"));
  EXPECT_EQ(rig.Call("GET", "/v1/info").body.Text("backends.replay.state"),
            "off");
  EXPECT_EQ(Kinectl(rig, {"replay", "5"}).code, 1);
  EXPECT_EQ(Kinectl(rig, {"replay", "soon"}).code, 2);
}

TEST(ReplayTest, TheLastSecondsBecomeARecordingAndTheRingGoesOn) {
  const std::string desk = TestSource(320, 240);
  DaemonRig rig(Keeping(30, desk));
  WaitKept(rig, absl::Milliseconds(600));
  // A recording of the same source changes nothing of it.
  rig.StartRecording("beside", desk);
  rig.WaitDurable("beside", absl::Milliseconds(300));
  EXPECT_EQ(rig.Call("GET", "/v1/info").body.Int("recorders.running"), 1);

  const absl::Time asked = absl::Now();
  const DaemonRig::Answer made =
      Replay(rig, R"({"id":"r","seconds":30,"labels":{"why":"bug"}})", "me");
  ASSERT_EQ(made.status, 201) << made.body.text();
  EXPECT_EQ(made.body.Text("state"), "ready");
  EXPECT_EQ(made.body.Text("reason"), "stopped");
  EXPECT_FALSE(made.body.Bool("truncated"));
  EXPECT_EQ(made.body.Int("replay.seconds"), 30);
  EXPECT_GE(made.body.Int("artifact.duration_us"), 600'000);
  absl::Time first;
  std::string error;
  ASSERT_TRUE(absl::ParseTime(absl::RFC3339_full,
                              made.body.Text("first_frame_at"), &first, &error))
      << error;
  EXPECT_LT(first, asked - absl::Milliseconds(600));

  // Whole, without a gap, and of its owner alone.
  EXPECT_EQ(rig.Call("GET", "/v1/recordings/r/artifact").status, 404);
  const std::string path = rig.VideoPath("r");
  const VideoFile video = Decode(path);
  EXPECT_EQ(static_cast<int64_t>(video.pictures.size()),
            made.body.Int("artifact.frames"));
  MissingNumbers(video.Numbers());
  const DaemonRig::Answer mark =
      rig.Call("POST", "/v1/recordings/r/markers",
               absl::StrCat(R"({"label":"then","at":")",
                            absl::FormatTime(absl::RFC3339_full,
                                             first + absl::Milliseconds(500),
                                             absl::UTCTimeZone()),
                            "\"}"),
               "me");
  EXPECT_EQ(mark.status, 201) << mark.body.text();
  EXPECT_EQ(mark.body.Int("media_us"), 500'000);

  // Asked again it is the same; the ring has gone on.
  const DaemonRig::Answer again =
      Replay(rig, R"({"id":"r","seconds":30,"labels":{"why":"bug"}})", "me");
  EXPECT_EQ(again.status, 200) << again.body.text();
  EXPECT_TRUE(again.body.Bool("attached"));
  const std::string file = rig.directory() + "/again.mp4";
  EXPECT_EQ(Kinectl(rig, {"replay", "1s", "--id=k", "--output=" + file}).code,
            0);
  EXPECT_GT(Decode(file).pictures.back().time, video.pictures.back().time);
  const Json beside = rig.StopRecording("beside");
  EXPECT_EQ(beside.Text("state"), "ready") << beside.text();
  MissingPictures(Decode(rig.Fetch("beside")), beside);
}

TEST(ReplayTest, ADeadRecorderIsReplacedAndTheRingFillsAgain) {
  const std::string desk = TestSource(320, 240);
  DaemonRig rig(Keeping(10, desk));
  EventStream events(rig.socket());
  WaitKept(rig, absl::Milliseconds(200));
  rig.StartRecording("a", desk);
  rig.WaitDurable("a", absl::Milliseconds(300));
  ASSERT_EQ(::kill(rig.RecorderOf("a"), SIGKILL), 0);
  const auto next = [&events](const char* type) {
    return events.Next([type](const auto& event) { return event.type == type; })
        .has_value();
  };
  ASSERT_TRUE(next("replay.ended"));
  EXPECT_EQ(rig.WaitFor("a", "ready").Text("state"), "interrupted");
  ASSERT_TRUE(next("replay.started"));
  WaitKept(rig, absl::Milliseconds(200));
  EXPECT_EQ(Replay(rig, R"({"seconds":10})").status, 201);
}

}  // namespace
}  // namespace kine
