// The idle stop of real recordings: what is on the screen, and what the agent
// does.
#include <gtest/gtest.h>

#include <string>

#include "tests/integration/daemon_rig.h"
#include "tests/integration/video_file.h"

namespace kine {
namespace {

constexpr char kSoon[] = R"(, "idle": {"stop_after_ms": 900})";

TEST(IdleTest, AStillScreenIsNoActivityAndScrollingAndCommandsAre) {
  DaemonRig rig;
  rig.StartRecording("still", TestSource(640, 480, 10, "still"), kSoon);
  rig.StartRecording("scroll", TestSource(640, 480, 10), kSoon);

  const Json still = rig.WaitFor("still", "ready");

  EXPECT_EQ(still.Text("state"), "ready");
  EXPECT_EQ(still.Text("reason"), "idle");
  EXPECT_TRUE(still.Bool("truncated"));
  EXPECT_GE(still.Int("artifact.duration_us"), 500'000);
  (void)Decode(rig.Fetch("still"));
  EXPECT_EQ(rig.State("scroll").Text("state"), "recording");

  // What a command writes is activity; so are calls and markers.
  rig.StartRecording("kept", TestSource(320, 240, 10, "still"), kSoon);
  rig.WaitFor("kept", "first_frame");
  rig.Call(
      "POST", "/v1/processes",
      R"({"id":"p","command":"for i in 1 2 3 4 5; do echo $i; sleep 0.3; done"})");
  rig.Call("GET", "/v1/processes/p?wait=exit");
  EXPECT_EQ(rig.State("kept").Text("state"), "recording");
  EXPECT_EQ(rig.Call("POST", "/v1/recordings/kept/activity").status, 200);
  EXPECT_EQ(rig.Call("POST", "/v1/activity").body.Int("recordings"), 2);
  EXPECT_EQ(rig.WaitFor("kept", "ready").Text("reason"), "idle");
  EXPECT_EQ(rig.StopRecording("scroll").Text("reason"), "stopped");
}

}  // namespace
}  // namespace kine
