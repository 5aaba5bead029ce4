// Markers of real recordings, and the chapters that players find in the files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/daemon_rig.h"
#include "tests/integration/video_file.h"

namespace kine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// Begin (us) and title of each, as ffprobe reads them.
struct Found {
  std::vector<int64_t> begins;
  std::vector<std::string> titles;
};
Found ChaptersOf(const std::string& path) {
  const ProgramResult probe = RunProgram(
      {"ffprobe", "-v", "error", "-of", "json", "-show_chapters", path});
  EXPECT_EQ(probe.code, 0) << probe.err;
  EXPECT_EQ(probe.err, "");
  const Json json(probe.out);
  Found found;
  for (size_t i = 0; i < json.Size("chapters"); ++i) {
    const std::string at = absl::StrCat("chapters.", i, ".");
    found.begins.push_back(json.Int(at + "start") * 100 / 9);
    found.titles.push_back(json.Text(at + "tags.title"));
  }
  return found;
}

int64_t Mark(DaemonRig& rig, const std::string& body) {
  const auto answer = rig.Call("POST", "/v1/recordings/a/markers", body);
  EXPECT_EQ(answer.status, 201) << body;
  return answer.body.Int("media_us");
}

std::string FetchView(DaemonRig& rig, const std::string& view) {
  const std::string path = absl::StrCat(rig.directory(), "/", view, ".mp4");
  const ProgramResult got =
      Kinectl(rig, {"get", "a", "--view=" + view, "--output=" + path});
  EXPECT_EQ(got.code, 0) << got.err;
  return path;
}

TEST(ChapterTest, MarkersAreChaptersOfTheFileAndOfItsOtherView) {
  DaemonRig rig;
  rig.StartRecording("a", TestSource(320, 240, 30, "still"),
                     R"(, "idle": {"compact_speed": 10})");
  rig.WaitFor("a", "first_frame");
  Mark(rig, R"({"label":"begin","kind":"chapter","at_media_us":0})");
  rig.Elapse(absl::Milliseconds(300));
  const ProgramResult marked =
      Kinectl(rig, {"mark", "--kind=error", "--json", "a", "it", "broke: ü"});
  ASSERT_EQ(marked.code, 0) << marked.err;
  const int64_t broke = Json(marked.out).Int("media_us");
  EXPECT_GE(broke, 300'000);
  // The list, a page at a time.
  const std::string markers = "/v1/recordings/a/markers?limit=1";
  const Json first = rig.Call("GET", markers).body;
  EXPECT_EQ(first.Size("items"), 1u);
  EXPECT_EQ(first.Int("total"), 2);
  const Json second =
      rig.Call("GET", absl::StrCat(markers, "&cursor=", first.Text("next")))
          .body;
  EXPECT_EQ(second.Text("items.0.label"), "it broke: ü");
  EXPECT_FALSE(second.Has("next"));
  const Json state = rig.StopRecording("a");

  EXPECT_EQ(state.Int("artifact.chapters"), 2);
  EXPECT_EQ(state.Int("artifact.chapters_left_out"), 0);
  const std::string file = rig.Fetch("a");
  const Found found = ChaptersOf(file);
  EXPECT_THAT(found.titles, ElementsAre("begin", "it broke: ü"));
  EXPECT_EQ(found.begins[0], 0);
  EXPECT_NEAR(static_cast<double>(found.begins[1]), static_cast<double>(broke),
              12.0);
  (void)Decode(file);
  EXPECT_EQ(ChaptersOf(FetchView(rig, "compact")).titles, found.titles);

  // What comes later is in every view that is asked for by name.
  Mark(rig, R"({"label":"later","at_media_us":100000})");
  const std::string named = FetchView(rig, "realtime");
  EXPECT_THAT(ChaptersOf(named).titles,
              ElementsAre("begin", "later", "it broke: ü"));
  (void)Decode(named);
  EXPECT_THAT(ChaptersOf(rig.Fetch("a")).titles,
              ElementsAre("begin", "it broke: ü"));
}

TEST(ChapterTest, ACompactFileHasThemWhereTimeRanFaster) {
  DaemonRig rig;
  rig.StartRecording(
      "a", TestSource(320, 240, 30, "still"),
      R"(, "idle": {"compact_after_ms": 500, "compact_speed": 10})");
  rig.WaitFor("a", "first_frame");
  rig.Elapse(absl::Milliseconds(1'200));
  const int64_t at = Mark(rig, R"({"label":"still"})");
  rig.StopRecording("a");

  const auto realtime = ChaptersOf(FetchView(rig, "realtime"));
  const auto compact = ChaptersOf(rig.Fetch("a"));

  // A text track begins at 0, without a title there.
  EXPECT_THAT(compact.titles, ElementsAre("", "still"));
  EXPECT_NEAR(static_cast<double>(realtime.begins.back()),
              static_cast<double>(at), 12.0);
  // As the map of times says, in the middle of a picture that stood for long.
  const Json times = rig.Call("GET", "/v1/recordings/a/times").body;
  double expected = 0;
  for (size_t i = 1; i < times.Size("points"); ++i) {
    const auto point = [&](size_t n, int which) {
      return static_cast<double>(
                 times.Int(absl::StrCat("points.", n, ".", which))) *
             100 / 9;
    };
    const double share = (static_cast<double>(at) - point(i - 1, 1)) /
                         (point(i, 1) - point(i - 1, 1));
    if (share >= 0 && share <= 1)
      expected = point(i - 1, 0) + share * (point(i, 0) - point(i - 1, 0));
  }
  EXPECT_NEAR(static_cast<double>(compact.begins.back()), expected, 25.0);
  EXPECT_LT(expected, 700'000);
}

TEST(ChapterTest, AfterAKillOfBothTheyAreThereAndTheTimelineToo) {
  DaemonRig rig;
  rig.StartRecording("a", TestSource(320, 240, 10));
  rig.WaitDurable("a", absl::Milliseconds(600));
  Mark(rig, R"({"label":"kept","at_media_us":200000})");
  const pid_t recorder = rig.RecorderOf("a");
  ASSERT_GT(recorder, 0);
  ::kill(recorder, SIGKILL);
  rig.daemon().Signal(SIGKILL);
  rig.daemon().Wait();
  // As if it had been killed within a write.
  std::ofstream(rig.state_dir() + "/recordings/a/events.ndjson", std::ios::app)
      << "{\"at\":\"2026";
  ASSERT_TRUE(rig.Start());

  const Json state = rig.WaitFor("a", "ready");

  EXPECT_EQ(state.Text("state"), "interrupted");
  EXPECT_EQ(state.Int("artifact.chapters"), 1);
  EXPECT_EQ(ChaptersOf(rig.Fetch("a")).titles.back(), "kept");
  const Json timeline = rig.Call("GET", "/v1/recordings/a/timeline").body;
  EXPECT_EQ(timeline.Text("markers.0.label"), "kept");
  EXPECT_EQ(timeline.Text("segments.0.at"), state.Text("first_frame_at"));
  EXPECT_EQ(timeline.Int("segments.0.duration_us"),
            state.Int("artifact.duration_us"));
  // By the clock of the run before: refused by name; the wall clock still does.
  const auto mono = rig.Call("POST", "/v1/recordings/a/markers",
                             R"({"label":"x","at_mono_us":1})");
  EXPECT_EQ(mono.status, 400);
  EXPECT_EQ(mono.body.Text("field"), "at_mono_us");
  Mark(rig, absl::StrCat(R"({"label":"x","at":")", state.Text("first_frame_at"),
                         "\"}"));
}

TEST(ChapterTest, ACommandIsAChapterWithItsCode) {
  DaemonRig rig;
  rig.StartRecording("a", TestSource(320, 240, 10));
  rig.WaitDurable("a", absl::Milliseconds(200));
  const auto wrong = rig.Call("POST", "/v1/processes",
                              R"({"command":"true","recording_id":"b"})");
  EXPECT_EQ(wrong.status, 404);
  EXPECT_EQ(wrong.body.Text("field"), "recording_id");
  const auto run = rig.Call("POST", "/v1/processes",
                            R"({"id":"p","command":"echo ä; exit 3\nmore"})");
  EXPECT_EQ(run.body.Text("recordings.0"), "a");
  EXPECT_EQ(rig.Call("GET", "/v1/processes/p?wait=exit").body.Int("exit.code"),
            3);
  rig.StopRecording("a");

  EXPECT_EQ(ChaptersOf(rig.Fetch("a")).titles.back(),
            "$ echo ä; exit 3 (exit 3)");
  const Json timeline = rig.Call("GET", "/v1/recordings/a/timeline").body;
  EXPECT_EQ(timeline.Text("commands.0.process"), "p");
  EXPECT_EQ(timeline.Int("commands.0.code"), 3);
  EXPECT_GE(timeline.Int("commands.0.end_media_us"),
            timeline.Int("commands.0.media_us"));
}

TEST(ChapterTest, TheTextFormatsAreWhatTheirReadersTake) {
  DaemonRig rig;
  rig.StartRecording("a", TestSource(320, 240, 10));
  rig.WaitFor("a", "first_frame");
  Mark(rig, R"({"label":"a=b; <c>","at_media_us":0,"duration_us":50000})");
  rig.WaitDurable("a", absl::Milliseconds(300));
  rig.StopRecording("a");
  const std::string text = rig.directory() + "/chapters.txt";
  const auto fetch = [&](const std::string& format) {
    Client::Options options;
    options.socket_path = rig.socket();
    Client client(std::move(options));
    ClientRequest request;
    request.target = "/v1/recordings/a/markers?format=" + format;
    const auto reply = client.Call(request);
    EXPECT_TRUE(reply.ok()) << reply.status();
    return reply.ok() ? reply->body : "";
  };
  std::ofstream(text) << fetch("ffmetadata");

  EXPECT_THAT(ChaptersOf(text).titles, ElementsAre("a=b; <c>"));
  EXPECT_THAT(fetch("vtt"), StartsWith("WEBVTT\n\n00:00:00.000 --> "));
  EXPECT_THAT(fetch("odd"), HasSubstr("format: must be json, vtt"));
}

}  // namespace
}  // namespace kine
