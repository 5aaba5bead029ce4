// A daemon that is killed, one that is stopped, and two at once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits.h"
#include "tests/integration/daemon_rig.h"
#include "tests/integration/video_file.h"

namespace kine {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

TEST(DaemonCrashTest, AKilledDaemonsRecordingIsFinalisedByTheNext) {
  DaemonRig rig;
  rig.StartRecording("done", TestSource(320, 240));
  rig.WaitDurable("done", absl::Milliseconds(300));
  rig.StopRecording("done");
  rig.StartRecording("a", TestSource(640, 360));
  rig.WaitDurable("a", absl::Milliseconds(900));
  const std::string before =
      rig.Call("GET", "/v1/info").body.Text("instance_id");
  const pid_t recorder = rig.RecorderOf("a");
  ASSERT_GT(recorder, 0);
  const UniqueFd pidfd(
      static_cast<int>(::syscall(SYS_pidfd_open, recorder, 0)));
  ASSERT_TRUE(pidfd.valid());

  const MonoTime killed_at = SystemClock().Now();
  rig.daemon().Kill();

  // Its recorder sees the link close: a second for the last fragment, as much
  // for a loaded machine.
  pollfd ended{pidfd.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&ended, 1, 2 * limits::kRecorderExitMs), 1);
  ASSERT_TRUE(rig.Start());
  const Json state = rig.WaitFor("a", "ready");
  EXPECT_EQ(state.Text("state"), "interrupted") << state.text();
  EXPECT_EQ(state.Text("reason"), "daemon_restarted");
  EXPECT_TRUE(state.Bool("truncated"));
  EXPECT_EQ(state.Text("source.kind"), "test");
  const VideoFile video = Decode(rig.Fetch("a"));
  MissingNumbers(video.Numbers());
  // It wrote its last fragment: nothing that was drawn before is lost.
  ASSERT_TRUE(video.pictures.back().time.has_value());
  EXPECT_LE(killed_at - *video.pictures.back().time, absl::Milliseconds(600));
  // What had ended before is as it was, and a new one can be made.
  EXPECT_EQ(rig.State("done").Text("reason"), "stopped");
  EXPECT_NE(rig.Call("GET", "/v1/info").body.Text("instance_id"), before);
  rig.StartRecording("b", TestSource(320, 240));
  rig.WaitFor("b", "first_frame");
  EXPECT_EQ(rig.StopRecording("b").Text("state"), "ready");
}

TEST(DaemonCrashTest, ASecondDaemonOnTheSameStateOrSocketRefuses) {
  DaemonRig rig;
  const std::string other = rig.directory() + "/other";

  ProgramResult second =
      RunProgram({BinaryPath("kinescoped"), "--socket=" + other,
                  "--state_dir=" + rig.state_dir()},
                 rig.Environment());
  EXPECT_EQ(second.code, 1);
  EXPECT_THAT(second.err, HasSubstr("uses this state directory"));
  EXPECT_THAT(second.err, HasSubstr(std::to_string(rig.daemon().pid())));
  second = RunProgram({BinaryPath("kinescoped"), "--socket=" + rig.socket(),
                       "--state_dir=" + other + ".state"},
                      rig.Environment());
  EXPECT_EQ(second.code, 1);
  EXPECT_THAT(second.err, HasSubstr("another daemon serves " + rig.socket()));

  EXPECT_EQ(rig.Call("GET", "/v1/healthz").status, 200);
}

TEST(DaemonCrashTest, WrongFlagsAreNamedWithStatusTwo) {
  const RunDirectory directory;
  const std::string program = BinaryPath("kinescoped");
  const std::string socket = "--socket=" + directory.File("s");
  const std::string state = "--state_dir=" + directory.File("state");
  ProgramResult result =
      RunProgram({program, socket, state, "--file_io=paper"});
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err, HasSubstr("auto, uring or thread"));
  result = RunProgram({program, socket, state, "--recordings_max=0"});
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err, HasSubstr("--recordings_max=0"));
  result = RunProgram({program, socket, state, "--recorder=/nowhere"});
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err, HasSubstr("/nowhere"));
  result = RunProgram({program, socket, state, "operand"});
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err, HasSubstr("operand"));
}

// Four share a recorder, four have one of their own; one of each is paused.
TEST(DaemonShutdownTest, RunningRecordingsAreFinishedAndNothingIsLeft) {
  DaemonRig::Options options;
  options.flags = {"--recordings_per_owner_max=16"};
  DaemonRig rig(std::move(options));
  const std::vector<std::string> ids = {"a", "b", "c", "d", "e", "f", "g", "h"};
  std::set<pid_t> recorders;
  for (size_t i = 0; i < ids.size(); ++i)
    rig.StartRecording(
        ids[i], TestSource(i < 4 ? 320 : 320 + 16 * static_cast<int>(i), 240));
  rig.StartRecording("waits", "{\"pipewire\":{\"name\":\"nobody\"}}");
  for (const std::string& id : ids) {
    rig.WaitDurable(id, absl::Milliseconds(400));
    recorders.insert(rig.RecorderOf(id));
  }
  for (const char* id : {"b", "f"})
    EXPECT_EQ(
        rig.Call("POST", absl::StrCat("/v1/recordings/", id, "/pause")).status,
        200);

  const MonoTime asked_at = SystemClock().Now();
  EXPECT_EQ(rig.Stop(), 0) << rig.Log();

  EXPECT_LE(SystemClock().Now() - asked_at,
            absl::Milliseconds(limits::kShutdownMs));
  for (const pid_t recorder : recorders) {
    EXPECT_GT(recorder, 0);
    EXPECT_EQ(::kill(recorder, 0), -1);
  }
  ASSERT_TRUE(rig.Start());
  for (const std::string& id : ids) {
    const Json state = rig.State(id);
    EXPECT_EQ(state.Text("state"), "ready") << state.text();
    EXPECT_EQ(state.Text("reason"), "shutdown");
    EXPECT_TRUE(state.Bool("truncated"));
  }
  for (const char* id : {"a", "b", "e", "f"})
    EXPECT_EQ(static_cast<int64_t>(Decode(rig.Fetch(id)).Numbers().size()),
              rig.State(id).Int("artifact.frames"));
  EXPECT_EQ(rig.State("waits").Text("reason"), "no_frame");
}

}  // namespace
}  // namespace kine
