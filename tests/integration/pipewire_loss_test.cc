// PipeWire nodes and servers that go away in the middle of a recording.
#include <gmock/gmock.h>

#include <csignal>

#include "tests/integration/event_stream.h"
#include "tests/integration/pipewire_rig.h"
#include "tests/integration/video_file.h"

namespace kine {
namespace {

using ::testing::HasSubstr;

class PipeWireLossTest : public PipeWireTest {
 protected:
  void TearDown() override {
    events_.reset();
    PipeWireTest::TearDown();
  }
  // From now on: a node that appears after the recording has been looked for
  // was lost once, too.
  void FollowEvents() {
    events_ = std::make_unique<EventStream>(rig_->socket());
    gaps_ = rig_->State("a").Int("gaps");
  }
  void StartPage() { RunPage({"--size=640x360", "--fps=30"}); }

  // The page's numbers in the file, cut where they begin again.
  std::vector<std::vector<uint32_t>> Runs(const std::string& id) {
    std::vector<std::vector<uint32_t>> runs(1);
    for (const uint32_t number : Decode(rig_->Fetch(id)).Numbers()) {
      if (!runs.back().empty() && number <= runs.back().back())
        runs.emplace_back();
      runs.back().push_back(number);
    }
    return runs;
  }

  std::unique_ptr<EventStream> events_;
  int64_t gaps_ = 0;
};

TEST_F(PipeWireLossTest, ANodeThatComesBackInTimeIsTheSameRecording) {
  StartPage();
  rig_->StartRecording("a", Node("page"));
  rig_->WaitDurable("a", absl::Milliseconds(400));
  FollowEvents();
  EndSources();
  ASSERT_TRUE(events_->NextOfType("recording.source_lost", "a"));
  Json state = rig_->State("a");
  EXPECT_EQ(state.Text("state"), "recording");
  EXPECT_FALSE(state.Bool("source_present"));
  EXPECT_NE(state.Text("lost_reason"), "");
  const pid_t recorder = rig_->RecorderOf("a");

  StartPage();

  const auto back = events_->NextOfType("recording.source_back", "a");
  ASSERT_TRUE(back.has_value());
  const int64_t gap_us = back->body.Int("data.gap_us");
  const int64_t until_us = back->body.Int("data.media_us");
  EXPECT_GT(gap_us, 0);
  rig_->WaitDurable("a", absl::Microseconds(until_us + 600'000));
  EXPECT_EQ(rig_->RecorderOf("a"), recorder);
  state = rig_->StopRecording("a");
  EXPECT_EQ(state.Text("state"), "ready") << state.text();
  EXPECT_EQ(state.Text("reason"), "stopped");
  EXPECT_EQ(state.Int("gaps"), gaps_ + 1);
  const auto runs = Runs("a");
  ASSERT_EQ(runs.size(), 2u);
  for (const auto& run : runs) {
    EXPECT_GE(run.size(), 5u);
  }
  // Also in what stays on the disk.
  const std::string log =
      ReadWholeFile(rig_->state_dir() + "/recordings/a/events.ndjson");
  EXPECT_THAT(log, HasSubstr("recording.source_lost"));
  EXPECT_THAT(log, HasSubstr("recording.source_back"));
}

TEST_F(PipeWireLossTest, ANodeThatStaysAwayEndsTheRecordingWithAValidFile) {
  StartPage();
  rig_->StartRecording("a", Node("page"), ",\"source_grace_ms\":300");
  rig_->WaitDurable("a", absl::Milliseconds(400));

  EndSources();

  const Json state = rig_->WaitFor("a", "ready");
  EXPECT_EQ(state.Text("state"), "ready") << state.text();
  EXPECT_EQ(state.Text("reason"), "source_lost");
  EXPECT_TRUE(state.Bool("truncated"));
  const auto runs = Runs("a");
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_GE(runs[0].size(), 5u);
}

TEST_F(PipeWireLossTest, PipeWireKilledAndStartedAgainIsTheSameRecording) {
  StartPage();
  rig_->StartRecording("a", Node("page"));
  rig_->WaitDurable("a", absl::Milliseconds(400));
  FollowEvents();
  server_->KillServer(SIGKILL);
  const auto lost = events_->NextOfType("recording.source_lost", "a");
  ASSERT_TRUE(lost.has_value());
  EndSources();

  ASSERT_TRUE(server_->StartServer().ok());
  StartPage();

  const auto back = events_->NextOfType("recording.source_back", "a");
  ASSERT_TRUE(back.has_value());
  rig_->WaitDurable(
      "a", absl::Microseconds(back->body.Int("data.media_us") + 600'000));
  const Json state = rig_->StopRecording("a");
  EXPECT_EQ(state.Text("state"), "ready") << state.text();
  EXPECT_EQ(state.Int("gaps"), gaps_ + 1);
  const auto runs = Runs("a");
  ASSERT_EQ(runs.size(), 2u);
  for (const auto& run : runs) EXPECT_GE(run.size(), 5u);
}

TEST_F(PipeWireLossTest, AStopBeforeTheFirstFrameIsPromptAndLeavesNoFile) {
  rig_->StartRecording("a", Node("nobody"));
  EXPECT_EQ(rig_->State("a").Text("state"), "starting");

  const MonoTime asked_at = SystemClock().Now();
  const Json state = rig_->StopRecording("a");

  // Not the grace time, which is 10 s.
  EXPECT_LE(SystemClock().Now() - asked_at, absl::Seconds(3));
  EXPECT_EQ(state.Text("state"), "failed") << state.text();
  EXPECT_EQ(state.Text("reason"), "no_frame");
  EXPECT_EQ(rig_->Call("GET", "/v1/recordings/a/artifact").status, 409);
}

TEST_F(PipeWireLossTest, ANodeThatNeverWasIsNamed) {
  rig_->StartRecording("a", Node("nobody"), ",\"source_grace_ms\":200");

  const Json state = rig_->WaitFor("a", "ready");

  EXPECT_EQ(state.Text("state"), "failed") << state.text();
  EXPECT_THAT(state.text(), HasSubstr("nobody"));
  EXPECT_EQ(rig_->Call("GET", "/v1/recordings/a/artifact").status, 409);
  // The next one works.
  StartPage();
  rig_->StartRecording("b", Node("page"));
  EXPECT_EQ(rig_->WaitFor("b", "first_frame").Text("state"), "recording");
}

}  // namespace
}  // namespace kine
