// kinectl against the real daemon: what people and scripts call.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tests/integration/daemon_rig.h"
#include "tests/integration/event_stream.h"
#include "tests/integration/video_file.h"

namespace kine {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// A machine that is busy with other things may lose a frame, and then says so;
// but not every time.
constexpr int kTries = 6;

TEST(KinectlTest, RecordsTheTestSourceIntoAFileThatShowsEveryFrame) {
  DaemonRig rig;
  const std::string file = rig.directory() + "/out.mp4";
  uint64_t missing = 1;
  for (int i = 0; i < kTries && missing != 0; ++i) {
    const ProgramResult result = Kinectl(
        rig, {"record", "--id=a", "--source=test", "--size=640x360", "--fps=10",
              "--duration=1500ms", "--output=" + file, "--json", "--restart"});

    ASSERT_EQ(result.code, 0) << result.err;
    EXPECT_EQ(result.err, "");
    const Json state(result.out);
    ASSERT_TRUE(state.valid()) << result.out;
    EXPECT_EQ(state.Text("id"), "a");
    EXPECT_EQ(state.Text("state"), "ready");
    EXPECT_EQ(state.Text("reason"), "max_duration");
    EXPECT_EQ(state.Text("output"), file);
    EXPECT_EQ(state.Text("source.kind"), "test");
    EXPECT_EQ(state.Text("encoder.name"), "x264");
    EXPECT_EQ(state.Int("frames.corrupted"), 0);
    EXPECT_EQ(static_cast<uint64_t>(state.Int("bytes")),
              std::filesystem::file_size(file));
    const VideoFile video = Decode(file);
    EXPECT_EQ(static_cast<int64_t>(video.pictures.size()),
              state.Int("frames.encoded"));
    EXPECT_NEAR(video.duration, 1.5, 1.0 / 10);
    for (const VideoPicture& picture : video.pictures) {
      EXPECT_EQ(picture.width, 640);
      EXPECT_EQ(picture.height, 360);
    }
    missing = MissingPictures(video, state);
    if (missing == 0) {
      EXPECT_GE(video.pictures.size(), 14u);
    }
  }
  EXPECT_EQ(missing, 0u);
}

TEST(KinectlTest, CtrlCStopsCleanlyAndFetchesTheFile) {
  DaemonRig rig;
  const std::string file = rig.directory() + "/out.mp4";
  EventStream events(rig.socket());
  Process::Options options;
  options.argv = {BinaryPath("kinectl"),
                  "--socket=" + rig.socket(),
                  "record",
                  "--id=a",
                  "--source=test",
                  "--size=640x360",
                  "--output=" + file,
                  "--json"};
  options.out = rig.directory() + "/out.json";
  Process kinectl(std::move(options));
  ASSERT_TRUE(events.NextState("a", "recording"));
  rig.WaitDurable("a", absl::Milliseconds(400));

  kinectl.Signal(SIGINT);

  EXPECT_EQ(ExitCodeOf(kinectl.Wait()), 0);
  const Json state(ReadWholeFile(rig.directory() + "/out.json"));
  EXPECT_EQ(state.Text("state"), "ready");
  EXPECT_EQ(state.Text("reason"), "stopped");
  EXPECT_FALSE(state.Bool("truncated"));
  EXPECT_EQ(state.Text("output"), file);
  MissingPictures(Decode(file), state);
}

TEST(KinectlTest, StartStatusStopListGetAndRemoveOneRecording) {
  DaemonRig rig;

  ProgramResult result =
      Kinectl(rig, {"start", "--id=a", "--source=test", "--size=320x240",
                    "--labels=task=7", "--json"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(Json(result.out).Text("labels.task"), "7");
  result = Kinectl(rig, {"status", "a", "--wait=first_frame", "--json"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(Json(result.out).Text("state"), "recording");
  result = Kinectl(rig, {"rm", "a"});
  EXPECT_EQ(result.code, 1) << "it is active";
  EXPECT_THAT(result.err, HasSubstr("stop it"));
  result = Kinectl(rig, {"stop", "a"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, StartsWith("a: ready"));
  result = Kinectl(rig, {"list", "--state=ready", "--json"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(Json(result.out).Int("total"), 1);
  EXPECT_EQ(Json(result.out).Text("items.0.id"), "a");
  const std::string file = rig.directory() + "/got.mp4";
  result = Kinectl(rig, {"get", "a", "--output=" + file});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(ReadWholeFile(file) == ReadWholeFile(rig.VideoPath("a")));
  result = Kinectl(rig, {"get", "a", "--output=-"});
  EXPECT_TRUE(result.out == ReadWholeFile(file));
  EXPECT_EQ(Kinectl(rig, {"rm", "a"}).code, 0);
  EXPECT_EQ(Kinectl(rig, {"status", "a"}).code, 4);
}

TEST(KinectlTest, ExitCodesSayWhatWentWrong) {
  DaemonRig rig;

  EXPECT_EQ(Kinectl(rig, {"info"}).code, 0);
  EXPECT_EQ(Kinectl(rig, {"recrod"}).code, 2);
  EXPECT_EQ(Kinectl(rig, {"record", "--duration=never"}).code, 2);
  ProgramResult result = Kinectl(rig, {"status", "nobody", "--json"});
  EXPECT_EQ(result.code, 4);
  EXPECT_EQ(Json(result.out).Int("error.exit_code"), 4);
  EXPECT_THAT(result.err, HasSubstr("nobody"));
  // The recording did not end as it was asked to.
  Process::Options record;
  record.argv = {
      BinaryPath("kinectl"), "--socket=" + rig.socket(), "record", "--id=a",
      "--source=test",       "--size=320x240",           "--json"};
  record.out = rig.directory() + "/record.json";
  EventStream events(rig.socket());
  Process kinectl(std::move(record));
  ASSERT_TRUE(events.NextState("a", "recording"));
  rig.WaitDurable("a", absl::Milliseconds(300));
  ASSERT_EQ(::kill(rig.RecorderOf("a"), SIGKILL), 0);
  EXPECT_EQ(ExitCodeOf(kinectl.Wait()), 5);
  EXPECT_EQ(Json(ReadWholeFile(rig.directory() + "/record.json")).Text("state"),
            "interrupted");

  EXPECT_EQ(rig.Stop(), 0);
  result = Kinectl(rig, {"info"});
  EXPECT_EQ(result.code, 3);
  EXPECT_THAT(result.err, HasSubstr(rig.socket()));
}

TEST(KinectlTest, FindsTheDaemonWhereBothLookByDefault) {
  RunDirectory directory;
  const std::vector<std::pair<std::string, std::string>> env = {
      {"XDG_RUNTIME_DIR", directory.path()},
      {"XDG_STATE_HOME", directory.File("state")}};
  Process::Options options;
  options.argv = {BinaryPath("kinescoped")};
  options.env = env;
  options.err = directory.File("log");
  EXPECT_EQ(RunProgram({BinaryPath("kinectl"), "info"}, env).code, 3);
  Process daemon(std::move(options));
  // It has no other way to say that it is up to those who did not start it.
  int code = 3;
  while (code == 3 && !daemon.Wait(absl::Milliseconds(20)).has_value())
    code = RunProgram({BinaryPath("kinectl"), "info"}, env).code;
  EXPECT_EQ(code, 0) << ReadWholeFile(directory.File("log"));

  struct stat socket {};
  ASSERT_EQ(::stat(directory.File("kinescope/kinescope.sock").c_str(), &socket),
            0);
  EXPECT_EQ(socket.st_mode & 0777, 0600u);
  EXPECT_TRUE(
      std::filesystem::exists(directory.File("state/kinescope/recordings")));
  daemon.Signal(SIGTERM);
  EXPECT_EQ(ExitCodeOf(daemon.Wait()), 0);
  EXPECT_FALSE(
      std::filesystem::exists(directory.File("kinescope/kinescope.sock")));
}

// What bash would offer behind `line`, whose words are divided as it does.
std::string Completed(DaemonRig& rig, const std::string& line) {
  const std::string directory =
      std::filesystem::path(BinaryPath("kinectl")).parent_path();
  const ProgramResult result = RunProgram(
      {"bash", "-c",
       absl::StrCat("PATH=", directory,
                    ":$PATH; eval \"$(kinectl completion "
                    "bash)\" && compopt() { :; }; COMP_WORDS=(kinectl ",
                    absl::StrReplaceAll(line, {{"SOCKET", rig.socket()}}),
                    "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _kinectl; "
                    "echo \"${COMPREPLY[*]}\"")});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  return result.out;
}

TEST(KinectlTest, BashCompletesVerbsFlagsAndIds) {
  DaemonRig rig;
  rig.StartRecording("first", TestSource(64, 48));
  rig.StartRecording("second", TestSource(64, 48));
  rig.Call("POST", "/v1/processes", R"({"id":"job","argv":["true"]})");

  EXPECT_EQ(Completed(rig, "rec"), "record\n");
  EXPECT_EQ(Completed(rig, "--json re"), "record resume replay\n");
  EXPECT_EQ(Completed(rig, "record --qual"), "--quality=\n");
  EXPECT_EQ(Completed(rig, "stop --jso"), "--json\n");
  EXPECT_EQ(Completed(rig, "stop --qual"), "\n");
  EXPECT_EQ(Completed(rig, "--socket = SOCKET stop ''"), "second first\n");
  EXPECT_EQ(Completed(rig, "--socket = SOCKET mark f"), "first\n");
  EXPECT_EQ(Completed(rig, "--socket = SOCKET logs ''"), "job\n");
  // The shell's own: files.
  EXPECT_EQ(Completed(rig, "--socket = SOCKET get --output = ''"), "\n");
  EXPECT_EQ(Completed(rig, "--socket = SOCKET get --output ="), "\n");

  const ProgramResult other = Kinectl(rig, {"completion", "csh"});
  EXPECT_EQ(other.code, 2);
  EXPECT_THAT(other.err, HasSubstr("there is bash"));
}

}  // namespace
}  // namespace kine
