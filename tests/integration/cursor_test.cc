// What the pointer did in a recording of a real PipeWire source, against what
// its own pictures say: the page shows its number, and puts the pointer on a
// circle by it.
#include <gmock/gmock.h>
#include <signal.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "daemon/base/crc32c.h"
#include "daemon/base/limits.h"
#include "tests/integration/pipewire_rig.h"
#include "tests/integration/video_file.h"

namespace kine {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

struct Move {
  int64_t t_us = 0;
  double x = 0;
  double y = 0;
};

struct Lines {
  std::vector<Json> all;
  std::vector<Move> moves;
  std::string hash;  // Of the first shape.
};

// Fails on anything but whole lines whose times do not decrease.
Lines ReadLines(const std::string& text) {
  constexpr size_t kSealBytes = 18;  // ,"crc":"xxxxxxxx"}
  EXPECT_TRUE(absl::EndsWith(text, "}\n"));
  Lines lines;
  int64_t last_us = 0;
  for (const absl::string_view whole :
       absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const absl::string_view covered =
        whole.substr(0, whole.size() - std::min(kSealBytes, whole.size()));
    const Json& line =
        lines.all.emplace_back(Json(std::string(whole.data(), whole.size())));
    EXPECT_EQ(line.Text("crc"),
              absl::StrFormat(
                  "%08x", Crc32c(0, std::as_bytes(std::span(covered.data(),
                                                            covered.size())))));
    const int64_t t_us = line.Int("t");
    EXPECT_GE(t_us, last_us) << whole;
    last_us = t_us;
    if (line.Text("k") == "shape" && lines.hash.empty())
      lines.hash = line.Text("hash");
    if (line.Text("k") == "move")
      lines.moves.push_back({t_us, line.Number("x"), line.Number("y")});
  }
  return lines;
}

// Where the page of this size has the pointer in that picture.
Move PointerOf(uint32_t number, int width, int height) {
  const double angle = number * 0.02;
  return {
      0, static_cast<int>(width * (0.5 + 0.25 * std::cos(angle))) * 1.0 / width,
      static_cast<int>(height * (0.5 + 0.25 * std::sin(angle))) * 1.0 / height};
}

class CursorTest : public PipeWireTest {
 protected:
  // The body of a GET below the recording.
  std::string Get(const std::string& id, const std::string& what,
                  int status = 200, const std::string& owner = "") {
    const DaemonRig::Answer answer =
        rig_->Call("GET", absl::StrCat("/v1/recordings/", id, what), "", owner);
    EXPECT_EQ(answer.status, status) << what << answer.body.text();
    etag_.clear();
    for (const auto& [name, value] : answer.head.fields)
      if (name == "ETag") etag_ = value;
    return answer.body.text();
  }
  void Record(const std::string& id, const std::string& more = "") {
    rig_->StartRecording(id, Node("page"), more);
    rig_->WaitFor(id, "first_frame");
  }
  Json UntilWritten(const std::string& id) {
    return rig_->WaitUntil(id, [](const Json& state) {
      return state.Has("cursor") && state.Int("cursor.bytes") > 0;
    });
  }

  std::string etag_;
};

TEST_F(CursorTest, ThePointerIsWhereThePicturesSayAndHasItsShape) {
  RunPage({"--size=640x360", "--fps=30", "--cursor"});
  Record("a", R"(, "profile": "studio")");
  const Json running = UntilWritten("a");
  EXPECT_EQ(running.Text("cursor.mode"), "metadata");
  EXPECT_FALSE(ReadLines(Get("a", "/cursor")).all.empty());
  EXPECT_EQ(etag_, "") << "more will follow";
  EXPECT_THAT(Get("a", "/cursor?view=compact", 409), HasSubstr("realtime"));
  rig_->WaitDurable("a", absl::Milliseconds(900));
  const Json state = rig_->StopRecording("a");
  ASSERT_EQ(state.Text("state"), "ready") << state.text();
  EXPECT_FALSE(state.Bool("source.cursor_embedded"));

  const std::string text = Get("a", "/cursor");
  EXPECT_NE(etag_, "");
  const Lines lines = ReadLines(text);
  EXPECT_EQ(static_cast<int64_t>(text.size()), state.Int("cursor.bytes"));
  EXPECT_EQ(lines.all[0].Text("cursor"), "metadata");
  EXPECT_EQ(lines.all[0].Text("asked"), "metadata");
  EXPECT_EQ(lines.all[0].Int("width"), 640);
  // Head, shape and the first show.
  EXPECT_EQ(state.Int("cursor.events"),
            static_cast<int64_t>(lines.moves.size()) + 2);
  EXPECT_EQ(state.Int("cursor.shapes"), 1);
  EXPECT_EQ(state.Int("cursor.dropped"), 0);

  int compared = 0;
  for (const VideoPicture& picture : Decode(rig_->Fetch("a")).pictures) {
    if (!picture.number) continue;
    const Move* last = nullptr;
    for (const Move& move : lines.moves)
      // The video's times are rounded to 11 us.
      if (static_cast<double>(move.t_us) <= picture.seconds * 1e6 + 20)
        last = &move;
    ASSERT_NE(last, nullptr) << *picture.number;
    const Move truth = PointerOf(*picture.number, 640, 360);
    EXPECT_NEAR(last->x, truth.x, 1e-6) << *picture.number;
    EXPECT_NEAR(last->y, truth.y, 1e-6) << *picture.number;
    ++compared;
  }
  EXPECT_GE(compared, 20);

  EXPECT_THAT(Get("a", absl::StrCat("/cursors/", lines.hash)),
              StartsWith("\x89PNG"));
  Get("a", absl::StrCat("/cursors/", std::string(32, '0')), 404);
  Get("a", "/cursors/alive", 404);
  Get("a", "/cursor", 404, "another");
  const Json cap(Get("a", "/cursor?format=cap"));
  EXPECT_EQ(cap.Size("moves"), lines.moves.size());
  EXPECT_EQ(cap.Size("clicks"), 0u);
  EXPECT_EQ(
      cap.Text(absl::StrCat("moves.", lines.moves.size() - 1, ".cursor_id")),
      "1");
  const std::string path = rig_->directory() + "/cap.json";
  EXPECT_EQ(
      Kinectl(*rig_, {"cursor", "a", "--format=cap", "--output=" + path}).code,
      0);
  EXPECT_EQ(std::filesystem::file_size(path), cap.text().size());
}

TEST_F(CursorTest, AKilledRecorderLeavesWholeLinesUpToTheEnd) {
  RunPage({"--size=320x240", "--fps=30", "--cursor"});
  Record("a");
  rig_->WaitDurable("a", absl::Milliseconds(900));
  const pid_t recorder = rig_->RecorderOf("a");
  ASSERT_GT(recorder, 0);
  ASSERT_EQ(::kill(recorder, SIGKILL), 0);

  const Json state = rig_->WaitFor("a", "ready");

  ASSERT_EQ(state.Text("state"), "interrupted") << state.text();
  const std::string text = Get("a", "/cursor");
  EXPECT_EQ(static_cast<int64_t>(text.size()), state.Int("cursor.bytes"));
  const Lines lines = ReadLines(text);
  EXPECT_EQ(lines.all[0].Text("asked"), "embedded");
  ASSERT_GE(lines.moves.size(), 15u);
  // Lines are written every 250 ms, fragments every 500.
  EXPECT_GE(lines.moves.back().t_us, state.Int("artifact.duration_us") -
                                         limits::kLogFlushMs * 1'000 - 200'000);
  ASSERT_EQ(rig_->Call("DELETE", "/v1/recordings/a").status, 204);
  EXPECT_FALSE(
      std::filesystem::exists(rig_->state_dir() + "/recordings/a/cursors"));
}

TEST_F(CursorTest, InACompactFileThePointerKeepsPaceWithThePictures) {
  // Half a second of rest between two pictures runs ten times faster.
  RunPage({"--size=320x240", "--fps=1.25", "--cursor"});
  Record("a", R"(, "idle": {"compact_after_ms": 500, "compact_speed": 10})");
  rig_->WaitUntil("a", [](const Json& state) {
    return state.Has("cursor") && state.Int("frames.encoded") >= 2;
  });
  const Json state = rig_->StopRecording("a");
  ASSERT_EQ(state.Text("artifact.view"), "compact") << state.text();

  const Lines compact = ReadLines(Get("a", "/cursor"));
  const Lines recorded = ReadLines(Get("a", "/cursor?view=realtime"));
  ASSERT_GE(recorded.moves.size(), 2u);
  ASSERT_EQ(compact.moves.size(), recorded.moves.size());
  EXPECT_NEAR(static_cast<double>(recorded.moves[1].t_us), 800e3, 50e3);
  EXPECT_NEAR(static_cast<double>(compact.moves[1].t_us), 530e3, 50e3);
  // Between the two the first one is refined.
  const VideoFile video = Decode(rig_->Fetch("a"));
  const auto second =
      std::ranges::find_if(video.pictures, [&](const VideoPicture& picture) {
        return picture.number != video.pictures[0].number;
      });
  ASSERT_NE(second, video.pictures.end());
  EXPECT_NEAR(static_cast<double>(compact.moves[1].t_us) / 1e6, second->seconds,
              0.001);
}

}  // namespace
}  // namespace kine
