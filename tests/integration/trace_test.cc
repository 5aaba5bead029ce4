// The trace of real recordings: what runs, what hangs, what has ended.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/fakes/trace_events.h"
#include "tests/integration/daemon_rig.h"

namespace kine {
namespace {

constexpr char kPath[] = "/v1/recordings/a/trace";

std::vector<TraceEvent> TraceOf(DaemonRig& rig) {
  const DaemonRig::Answer answer = rig.Call("GET", kPath);
  EXPECT_EQ(answer.status, 200) << answer.body.text();
  return ParseTrace(answer.body.text());
}

std::string ThreadName(const TraceEvent& event) {
  std::string name = ReadWholeFile(
      absl::StrCat("/proc/", event.pid, "/task/", event.tid, "/comm"));
  while (!name.empty() && name.back() == '\n') name.pop_back();
  return name;
}

TEST(TraceTest, EveryPictureShowsWhatHappenedToItWhileItRunsAndAfterwards) {
  DaemonRig rig;
  rig.StartRecording("a", TestSource(320, 240));
  rig.WaitDurable("a", absl::Milliseconds(900));

  const std::vector<TraceEvent> running = TraceOf(rig);

  EXPECT_GE(CheckFrameLanes(running), 10);
  EXPECT_GE(CountOf(running, "keyframe"), 1);
  EXPECT_GE(CountOf(running, "convert", "X"), 10);
  EXPECT_EQ(CountOf(running, "ending"), 0);
  const pid_t recorder = rig.RecorderOf("a");
  for (const TraceEvent& event : running) {
    ASSERT_EQ(event.pid, recorder);
    if (event.name == "frame" && event.phase == "i") {
      ASSERT_EQ(ThreadName(event), "kine-source");
    } else if (event.name == "encode" && event.phase == "X") {
      ASSERT_EQ(ThreadName(event), "kine-encode");
    } else if (event.name == "packet") {
      ASSERT_EQ(event.tid, recorder);
    }
  }
  EXPECT_EQ(rig.Call("GET", kPath, "", "somebody").status, 404);

  const Json ended = rig.StopRecording("a");
  const std::string file = absl::StrCat(rig.directory(), "/a.json");
  const ProgramResult fetched = Kinectl(rig, {"trace", "a", "--output", file});

  ASSERT_EQ(fetched.code, 0) << fetched.err;
  const std::vector<TraceEvent> kept = ParseTrace(ReadWholeFile(file));
  EXPECT_EQ(CheckFrameLanes(kept), ended.Int("artifact.frames"));
  EXPECT_EQ(CountOf(kept, "ending"), 1);
  EXPECT_EQ(CountOf(kept, "finished"), 1);
  EXPECT_EQ(rig.Call("DELETE", "/v1/recordings/a").status, 204);
  EXPECT_EQ(rig.Call("GET", kPath).status, 404);
}

TEST(TraceTest, ARecorderThatHangsAndDiesLeavesItsTrace) {
  DaemonRig rig;
  rig.StartRecording("a", TestSource(320, 240));
  rig.WaitDurable("a", absl::Milliseconds(300));
  const pid_t recorder = rig.RecorderOf("a");
  ASSERT_EQ(::kill(recorder, SIGSTOP), 0);

  const int durable = CheckFrameLanes(TraceOf(rig));
  EXPECT_GE(durable, 1);
  ASSERT_EQ(::kill(recorder, SIGKILL), 0);

  EXPECT_EQ(rig.WaitFor("a", "ready").Text("state"), "interrupted");
  EXPECT_GE(CheckFrameLanes(TraceOf(rig)), durable);
}

}  // namespace
}  // namespace kine
