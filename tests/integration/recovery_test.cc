// What a crash can leave: daemon and recorder killed at the same moment, in
// every state, with side files that are damaged or gone, and a recovery that is
// killed itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tests/integration/daemon_rig.h"
#include "tests/integration/event_stream.h"
#include "tests/integration/video_file.h"

namespace kine {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

void Write(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

void FlipBit(const fs::path& path, size_t at) {
  std::string bytes = ReadWholeFile(path);
  ASSERT_LT(at, bytes.size());
  bytes[at] = static_cast<char>(bytes[at] ^ 4);
  Write(path, bytes);
}

class RecoveryTest : public testing::Test {
 protected:
  fs::path Directory(const std::string& id) const {
    return fs::path(rig_.VideoPath(id)).parent_path();
  }

  // Leaves `a` as both processes dying at once leave it, with a marker shortly
  // before that which no durable picture covers.
  void Crash(const std::string& more = "") {
    rig_.StartRecording("a", TestSource(320, 240),
                        absl::StrCat(", \"max_bytes\": 4194304", more));
    rig_.WaitDurable("a", absl::Milliseconds(500));
    const pid_t recorder = rig_.RecorderOf("a");
    ASSERT_GT(recorder, 0);
    DaemonRig::Answer marker =
        rig_.Call("POST", "/v1/recordings/a/markers",
                  R"({"label":"the first","at_media_us":100000})");
    ASSERT_EQ(marker.status, 201);
    marker = rig_.Call("POST", "/v1/recordings/a/markers",
                       R"({"label":"the last"})");
    ASSERT_EQ(marker.status, 201);
    marked_us_ = marker.body.Int("media_us");
    rig_.daemon().Signal(SIGKILL);
    ::kill(recorder, SIGKILL);
    rig_.daemon().Kill();  // Waits.
  }

  // A copy of `a` under another name, in another state.
  fs::path Copy(const std::string& id, const std::string& state = "recording") {
    const fs::path to = Directory(id);
    fs::copy(Directory("a"), to, fs::copy_options::recursive);
    const fs::path manifest = to / "recording.json";
    Write(manifest,
          absl::StrReplaceAll(
              ReadWholeFile(manifest),
              {{"\"id\":\"a\",", absl::StrCat("\"id\":\"", id, "\",")},
               {"\"state\":\"recording\"",
                absl::StrCat("\"state\":\"", state, "\"")}}));
    return to;
  }

  ProgramResult Finalise(
      const fs::path& directory,
      std::vector<std::pair<std::string, std::string>> env = {}) {
    return RunProgram({"sh", "-c",
                       absl::StrCat("exec ", BinaryPath("kinescope-recorder"),
                                    " --finalise --id=a --max_bytes=4194304 3<",
                                    directory.string())},
                      std::move(env));
  }

  DaemonRig rig_;
  int64_t marked_us_ = 0;
};

TEST_F(RecoveryTest, EveryStateIsBroughtToItsEndWithAReport) {
  ASSERT_NO_FATAL_FAILURE(Crash());
  for (const char* state : {"starting", "paused", "finalizing"})
    Copy(state, state);
  // Killed between the commit and the manifest.
  ASSERT_EQ(Finalise(Copy("committed")).code, 0);
  // The next fragment, torn.
  const fs::path torn = Copy("torn") / "video.mp4";
  const std::string video = ReadWholeFile(torn);
  const size_t fragment = video.rfind("moof") - 4;
  Write(torn, video + video.substr(fragment, (video.size() - fragment) / 2));
  fs::remove(Copy("no-video") / "video.mp4");
  Write(Copy("empty-video") / "video.mp4", "");

  FlipBit(Copy("log-flipped") / "events.ndjson", 200);
  fs::remove(Copy("log-gone") / "events.ndjson");
  Write(Copy("alive-flipped") / "alive", std::string(64, 'k'));
  fs::remove(Copy("alive-gone") / "alive");
  fs::create_directory(Copy("thumbnail-odd") / "thumbnail.jpg");

  Write(Copy("manifest-cut") / "recording.json",
        ReadWholeFile(Directory("a") / "recording.json").substr(0, 100));
  const std::string newer = R"({"format_version":99,"id":"newer"})";
  Write(Copy("newer") / "recording.json", newer);
  const fs::path first = Copy("first-format") / "recording.json";
  Write(first, absl::StrReplaceAll(ReadWholeFile(first),
                                   {{"\"format_version\":2,", ""}}));
  ASSERT_TRUE(rig_.Start());

  const Json whole = rig_.WaitFor("a", "ready");
  const std::string bytes = ReadWholeFile(rig_.VideoPath("a"));
  const VideoFile played = Decode(rig_.Fetch("a"));
  EXPECT_EQ(whole.Int("recovery.frames"),
            static_cast<int64_t>(played.pictures.size()));
  EXPECT_EQ(whole.Int("recovery.bytes"), static_cast<int64_t>(bytes.size()));
  EXPECT_GE(whole.Int("recovery.durable_us"), 500'000);
  EXPECT_EQ(whole.Int("recovery.durable_us"),
            whole.Int("recovery.duration_us"));
  EXPECT_GT(whole.Int("recovery.took_us"), 0);
  EXPECT_EQ(whole.Size("recovery.damaged"), 0u);
  // The marker is the last sign of life.
  EXPECT_NEAR(static_cast<double>(whole.Int("recovery.lost_us")),
              static_cast<double>(std::max<int64_t>(
                  0, marked_us_ - whole.Int("recovery.duration_us"))),
              50'000);
  // The last marker may lie behind the end.
  EXPECT_GE(whole.Int("artifact.chapters"), 1);

  const std::map<std::string, std::string> found = {
      {"a", "recording"},
      {"starting", "starting"},
      {"paused", "paused"},
      {"finalizing", "finalizing"},
      {"committed", "recording"},
      {"torn", "recording"},
      {"alive-gone", "recording"},
      {"alive-flipped", "recording"},
      {"thumbnail-odd", "recording"},
      {"first-format", "recording"},
      {"log-flipped", "recording"},
      {"log-gone", "recording"}};
  for (const auto& [id, state] : found) {
    SCOPED_TRACE(id);
    const Json ended = rig_.WaitFor(id, "ready");
    EXPECT_EQ(ended.Text("state"), "interrupted") << ended.text();
    EXPECT_EQ(ended.Text("reason"), "daemon_restarted");
    EXPECT_EQ(ended.Text("recovery.found"), state);
    EXPECT_EQ(ended.Text("recovery.reason"), "daemon_restarted");
    EXPECT_EQ(ended.Int("artifact.frames"), whole.Int("artifact.frames"));
    EXPECT_EQ(ended.Int("recovery.durable_us"),
              whole.Int("recovery.durable_us"));
    // Byte for byte; without its log it has no chapter.
    if (id.find("log-") == std::string::npos) {
      EXPECT_TRUE(ReadWholeFile(rig_.VideoPath(id)) == bytes);
    } else {
      EXPECT_EQ(ended.Int("artifact.chapters"), 0);
      EXPECT_TRUE(Decode(rig_.Fetch(id)).clean);
    }
    // The report is in the manifest.
    EXPECT_THAT(ReadWholeFile(Directory(id) / "recording.json"),
                HasSubstr("\"recovery\":{\"found\":\"" + state));
  }
  const Json log = rig_.State("log-flipped");
  EXPECT_EQ(log.Text("recovery.damaged.0.file"), "events.ndjson");
  EXPECT_EQ(log.Size("recovery.damaged"), 1u);
  EXPECT_THAT(Kinectl(rig_, {"status", "log-flipped"}).out,
              HasSubstr("of its end are lost; damaged: events.ndjson"));
  EXPECT_EQ(rig_.State("alive-flipped").Text("recovery.damaged.0.file"),
            "alive");
  for (const char* id : {"no-video", "empty-video"}) {
    const Json ended = rig_.WaitFor(id, "ready");
    EXPECT_EQ(ended.Text("state"), "failed");
    EXPECT_EQ(ended.Text("reason"), "no_frame");
    EXPECT_EQ(ended.Int("recovery.frames"), 0);
  }

  // What cannot be read is told and left alone.
  const Json info = rig_.Call("GET", "/v1/info").body;
  ASSERT_EQ(info.Size("strangers"), 2u);
  EXPECT_EQ(info.Text("strangers.0.name"), "manifest-cut");
  EXPECT_THAT(info.Text("strangers.0.reason"), HasSubstr("video.mp4 has "));
  EXPECT_THAT(info.Text("strangers.1.reason"), HasSubstr("format_version 99"));
  EXPECT_THAT(Kinectl(rig_, {"doctor"}).out, HasSubstr("format_version 99"));
  EXPECT_EQ(rig_.Call("DELETE", "/v1/recordings/newer").status, 404);
  EXPECT_EQ(ReadWholeFile(Directory("newer") / "recording.json"), newer);
}

TEST_F(RecoveryTest, ADeadRecorderIsReportedTo) {
  EventStream events(rig_.socket());
  rig_.StartRecording("a", TestSource(320, 240));
  rig_.WaitDurable("a", absl::Milliseconds(500));
  const pid_t recorder = rig_.RecorderOf("a");
  ASSERT_GT(recorder, 0);
  ::kill(recorder, SIGKILL);

  const auto told = events.NextOfType("recording.recovered", "a");
  ASSERT_TRUE(told.has_value());
  const Json state = rig_.WaitFor("a", "ready");
  EXPECT_EQ(told->body.Text("data.reason"), "recorder_died");
  EXPECT_EQ(told->body.Text("data.found"), "recording");
  EXPECT_EQ(told->body.Int("data.frames"), state.Int("artifact.frames"));
  EXPECT_EQ(told->body.Int("data.lost_us"), state.Int("recovery.lost_us"));
  // A fragment takes half a second.
  EXPECT_GT(state.Int("recovery.lost_us"), 0);
  EXPECT_LT(state.Int("recovery.lost_us"), 2'000'000);
}

// Before every call that changes the file, and in the middle of every write.
TEST_F(RecoveryTest, WhereverItIsKilledTheNextGivesTheSameFile) {
  // With chapters, and with another index than what was recorded.
  ASSERT_NO_FATAL_FAILURE(Crash());
  const fs::path reference = Copy("reference");
  const ProgramResult whole = Finalise(reference);
  ASSERT_EQ(whole.code, 0) << whole.err;
  const std::string wanted = ReadWholeFile(reference / "video.mp4");

  const char* const asan = std::getenv("ASAN_OPTIONS");
  int kills = 0;
  for (const char* half : {"", "half"})
    for (int call = 1;; ++call) {
      SCOPED_TRACE(absl::StrCat(call, half));
      const fs::path directory = Copy("killed");
      const ProgramResult killed = Finalise(
          directory,
          {{"LD_PRELOAD", TestPath("softva/kill_at.so")},
           {"KINE_KILL_AT", absl::StrCat(call, half)},
           // What is preloaded comes before the sanitizer's own library.
           {"ASAN_OPTIONS", absl::StrCat("verify_asan_link_order=0:",
                                         asan != nullptr ? asan : "")}});
      const bool all = killed.code == 0;  // It has fewer calls than that.
      const ProgramResult next = Finalise(directory);
      ASSERT_EQ(next.code, 0) << next.err;
      ASSERT_TRUE(ReadWholeFile(directory / "video.mp4") == wanted);
      const Json got(next.out);
      for (const char* what : {"bytes", "duration_us", "frames",
                               "finalise.durable_us", "finalise.chapters"})
        EXPECT_EQ(got.Int(what), Json(whole.out).Int(what)) << what;
      EXPECT_EQ(got.Text("finalise.index"), "front");
      fs::remove_all(directory);
      if (all) break;
      ++kills;
    }
  EXPECT_GE(kills, 12);
  rig_.Start();
}

}  // namespace
}  // namespace kine
