// Those who watch a real recording: what they get, and what it costs it.
#include "daemon/base/limits/live.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/integration/daemon_rig.h"
#include "tests/integration/video_file.h"

namespace kine {
namespace {

// `kinectl live` into a file.
class Watcher {
 public:
  Watcher(DaemonRig& rig, const std::string& name)
      : path_(absl::StrCat(rig.directory(), "/", name, ".mp4")),
        process_(
            {{BinaryPath("kinectl"), "--socket=" + rig.socket(), "live", "a"},
             rig.Environment(),
             path_,
             "",
             {}}) {}

  Process& process() { return process_; }
  uintmax_t bytes() const {
    std::error_code error;
    const uintmax_t size = std::filesystem::file_size(path_, error);
    return error ? 0 : size;
  }
  // What it got, when the recording has come to its end.
  VideoFile Video() {
    EXPECT_EQ(ExitCodeOf(process_.Wait()), 0);
    return Decode(path_);
  }

 private:
  const std::string path_;
  Process process_;
};

// The longest that a picture is shown.
double LongestStep(const VideoFile& video) {
  double longest = 0;
  for (size_t i = 1; i < video.pictures.size(); ++i)
    longest = std::max(
        longest, video.pictures[i].seconds - video.pictures[i - 1].seconds);
  return longest;
}

TEST(LiveTest, EachReaderGoesAtItsOwnPaceAndTheRecordingAtItsOwn) {
  DaemonRig rig;
  // A second of it is more than a socket takes for one who does not read.
  rig.StartRecording("a", TestSource(960, 540, 30, "scroll"),
                     ", \"quality\": 100");
  rig.WaitFor("a", "first_frame");
  Watcher early(rig, "early");
  Watcher slow(rig, "slow");
  const auto has_some = [](const Watcher& watcher, uintmax_t bytes) {
    return [&watcher, bytes](const Json&) { return watcher.bytes() > bytes; };
  };
  rig.WaitUntil("a", has_some(slow, 20'000));
  slow.process().Signal(SIGSTOP);
  rig.Elapse(absl::Milliseconds(limits::kLiveLagMs + 1'200));
  Watcher late(rig, "late");
  rig.WaitUntil("a", has_some(late, 20'000));
  slow.process().Signal(SIGCONT);
  rig.WaitUntil("a", has_some(slow, slow.bytes() + 100'000));
  const Json state = rig.StopRecording("a");

  EXPECT_EQ(state.Text("state"), "ready");
  MissingPictures(Decode(rig.Fetch("a")), state);
  const VideoFile all = early.Video();
  EXPECT_GT(all.Numbers().size(), 30u);
  MissingPictures(all, state);
  const VideoFile some = late.Video();
  EXPECT_LT(some.pictures.size(), all.pictures.size() / 2);
  MissingPictures(some, state);
  EXPECT_EQ(some.Numbers().back(), all.Numbers().back());
  // Skipped what it was too late for; on its own time line nothing is missing.
  const VideoFile skipped = slow.Video();
  EXPECT_GT(MissingNumbers(skipped.Numbers()), 10u);
  EXPECT_LT(LongestStep(skipped), 1.5);
  EXPECT_EQ(skipped.Numbers().back(), all.Numbers().back());
}

TEST(LiveTest, AStillScreenGoesOnAsLongAsSomebodyWatches) {
  DaemonRig rig;
  rig.StartRecording("a", TestSource(320, 240, 30, "still"));
  rig.WaitDurable("a", absl::Milliseconds(300));
  EXPECT_EQ(rig.State("a").Int("frames.repeated"), 0);
  Watcher watcher(rig, "still");
  rig.WaitUntil(
      "a", [](const Json& state) { return state.Int("frames.repeated") >= 3; });
  const Json state = rig.StopRecording("a");

  EXPECT_EQ(state.Int("frames.captured"), 1);
  const VideoFile video = watcher.Video();
  EXPECT_GE(video.pictures.size(), 4u);
  EXPECT_LT(LongestStep(video), 1.5);
  // A repeated picture is no activity, and next to nothing in the file.
  const std::string file = rig.Fetch("a");
  const std::vector<int> damaged = DamagedMacroblocks(file);
  EXPECT_EQ(std::ranges::count(damaged, 0) + 1,
            static_cast<int64_t>(damaged.size()));
}

TEST(LiveTest, OnlyItsOwnerWatchesAndOnlyWhatRuns) {
  DaemonRig rig;
  const std::string live = "/v1/recordings/a/live";
  EXPECT_EQ(rig.Call("GET", live).status, 404);
  const std::string body =
      absl::StrCat("{\"id\":\"a\",\"source\":", TestSource(320, 240), "}");
  ASSERT_EQ(rig.Call("POST", "/v1/recordings", body, "alice").status, 201);
  EXPECT_EQ(rig.Call("GET", live).status, 404);
  EXPECT_EQ(rig.Call("GET", live, "", "bob").status, 404);
  rig.Call("POST", "/v1/recordings/a/stop", "{\"wait_ready\":true}", "alice");
  EXPECT_EQ(rig.Call("GET", live, "", "bob").status, 404);

  const DaemonRig::Answer late = rig.Call("GET", live, "", "alice");

  EXPECT_EQ(late.status, 409);
  EXPECT_EQ(late.body.Text("code"), "wrong_state");
}

TEST(LiveTest, ADeadRecorderEndsTheStreamAndNotTheReader) {
  DaemonRig rig;
  rig.StartRecording("a", TestSource(320, 240));
  rig.WaitDurable("a", absl::Milliseconds(300));
  Watcher watcher(rig, "cut");
  rig.WaitDurable("a", absl::Milliseconds(900));
  ASSERT_GT(rig.RecorderOf("a"), 0);
  ::kill(rig.RecorderOf("a"), SIGKILL);

  EXPECT_FALSE(watcher.Video().pictures.empty());
  EXPECT_EQ(rig.WaitFor("a", "ready").Text("state"), "interrupted");
}

}  // namespace
}  // namespace kine
