// The two views of one file over HTTP, the map of their times, and what is
// durable of a recording that still grows.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "tests/integration/daemon_rig.h"
#include "tests/integration/video_file.h"

namespace kine {
namespace {

using ::testing::HasSubstr;

constexpr char kCompactAtOnce[] =
    ", \"idle\": {\"compact_after_ms\": 500, \"compact_speed\": 10}";

class ViewTest : public testing::Test {
 protected:
  // A still picture, for two seconds and a half.
  Json RecordStill(const std::string& more) {
    rig_.StartRecording("a", TestSource(320, 240, 30, "still"), more);
    rig_.WaitFor("a", "first_frame");
    rig_.Elapse(absl::Milliseconds(2'500));
    return rig_.StopRecording("a");
  }

  std::string Get(const std::string& target, int status = 200,
                  const std::string& range = "") {
    Client::Options options;
    options.socket_path = rig_.socket();
    Client client(std::move(options));
    ClientRequest request;
    request.target = "/v1/recordings/a/" + target;
    if (!range.empty()) request.fields.emplace_back("Range", range);
    std::string bytes;
    const auto reply = client.Stream(request, [&](absl::string_view piece) {
      absl::StrAppend(&bytes, piece);
      return absl::OkStatus();
    });
    EXPECT_TRUE(reply.ok()) << reply.status();
    if (!reply.ok()) return "";
    EXPECT_EQ(reply->status(), status) << reply->body;
    for (const auto& [name, value] : reply->head.fields)
      if (name == "ETag") etag_ = value;
    return status < 300 ? bytes : reply->body;
  }

  VideoFile Play(const std::string& bytes) {
    const std::string path = rig_.directory() + "/view.mp4";
    std::ofstream(path, std::ios::binary) << bytes;
    return Decode(path);
  }

  DaemonRig rig_;
  std::string etag_;
};

TEST_F(ViewTest, ARealtimeFileIsPlayedCompactByAnotherHead) {
  const Json state = RecordStill(", \"idle\": {\"compact_speed\": 10}");
  EXPECT_EQ(state.Text("artifact.view"), "realtime");
  const std::string own = Get("artifact");
  const std::string own_tag = etag_;
  EXPECT_EQ(Get("artifact?view=realtime"), own);
  EXPECT_EQ(etag_, own_tag);

  // Less stillness than the 5 s after which time runs faster.
  const std::string compact = Get("artifact?view=compact");

  EXPECT_NE(etag_, own_tag);
  EXPECT_NEAR(Play(compact).duration, Play(own).duration, 0.001);
  EXPECT_EQ(Get("artifact?view=compact"), compact);
}

TEST_F(ViewTest, ACompactFileKnowsItsRecordedTimes) {
  const Json state = RecordStill(kCompactAtOnce);
  EXPECT_EQ(state.Text("artifact.view"), "compact");
  const double recorded =
      static_cast<double>(state.Int("artifact.duration_us")) / 1e6;
  const double compact =
      static_cast<double>(state.Int("artifact.compact_us")) / 1e6;
  EXPECT_GE(recorded, 2.5);
  EXPECT_NEAR(compact, 0.5 + (recorded - 0.5) / 10, 0.001);

  const VideoFile own = Play(Get("artifact"));
  EXPECT_NEAR(own.duration, compact, 0.001);
  const std::string realtime = Get("artifact?view=realtime");
  const VideoFile played = Play(realtime);
  EXPECT_NEAR(played.duration, recorded, 0.001);
  EXPECT_EQ(played.pictures.size(), own.pictures.size());

  // A part of it, across the end of the head.
  EXPECT_EQ(Get("artifact?view=realtime", 206, "bytes=10-"),
            realtime.substr(10));
  EXPECT_EQ(Get("artifact?view=realtime", 206, "bytes=-5"),
            realtime.substr(realtime.size() - 5));
  const size_t middle = realtime.find("mdat") + 5;
  EXPECT_EQ(Get("artifact?view=realtime", 206,
                absl::StrCat("bytes=", middle, "-", middle + 99)),
            realtime.substr(middle, 100));
}

// The screen stands still, the agent does not: its time is not run through.
TEST_F(ViewTest, WhatTheAgentDoesOnAStillScreenIsShownAsRecorded) {
  rig_.StartRecording("a", TestSource(320, 240, 30, "still"), kCompactAtOnce);
  rig_.WaitFor("a", "first_frame");
  for (int i = 0; i < 4; ++i) {
    rig_.Elapse(absl::Milliseconds(500));
    EXPECT_LT(rig_.Call("POST", "/v1/recordings/a/activity").status, 300);
  }
  rig_.Elapse(absl::Milliseconds(300));
  const Json state = rig_.StopRecording("a");

  EXPECT_GE(state.Int("frames.repeated"), 2);
  // Without the agent it would be 0.5 s and a tenth of the rest. A picture
  // comes up to 0.5 s after the agent has begun.
  EXPECT_GE(state.Int("artifact.compact_us"), 1'500'000) << state.text();
}

TEST_F(ViewTest, TheMapOfTimesLeadsFromEitherViewToTheRecording) {
  const Json state = RecordStill(kCompactAtOnce);

  const Json compact(Get("times"));
  const Json realtime(Get("times?view=realtime"));

  EXPECT_EQ(compact.Text("view"), "compact");
  EXPECT_EQ(compact.Int("time_scale"), 90'000);
  const size_t last = compact.Size("points") - 1;
  EXPECT_EQ(compact.Int(absl::StrCat("points.", last, ".0")) * 100 / 9,
            state.Int("artifact.compact_us"));
  EXPECT_EQ(compact.Int(absl::StrCat("points.", last, ".1")) * 100 / 9,
            state.Int("artifact.duration_us"));
  EXPECT_EQ(realtime.Text("view"), "realtime");
  ASSERT_EQ(realtime.Size("points"), 2u);
  EXPECT_EQ(realtime.Int("points.1.0"), realtime.Int("points.1.1"));
}

TEST_F(ViewTest, WhatIsWrittenOverAKilledRecorderIsCompactToo) {
  rig_.StartRecording("a", TestSource(320, 240, 30, "still"), kCompactAtOnce);
  rig_.WaitDurable("a", absl::Milliseconds(100));
  rig_.Elapse(absl::Milliseconds(1'500));
  const pid_t recorder = rig_.RecorderOf("a");
  ASSERT_GT(recorder, 0);
  ::kill(recorder, SIGKILL);
  const Json state = rig_.WaitFor("a", "ready");

  EXPECT_EQ(state.Text("state"), "interrupted");
  EXPECT_EQ(state.Text("artifact.view"), "compact");
  const double recorded =
      static_cast<double>(state.Int("artifact.duration_us")) / 1e6;
  EXPECT_GE(recorded, 1.0);
  EXPECT_NEAR(Play(Get("artifact?view=realtime")).duration, recorded, 0.001);
}

TEST_F(ViewTest, ADamagedFileIsNoReasonToHang) {
  RecordStill("");
  // The moov's type: a file that nobody can read.
  std::fstream file(rig_.VideoPath("a"),
                    std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(36);
  file << "xxxx";
  file.close();

  EXPECT_THAT(Get("artifact?view=compact", 500), HasSubstr("no moov"));
}

TEST_F(ViewTest, UnknownViewsAreRefusedByName) {
  RecordStill("");

  EXPECT_THAT(Get("artifact?view=fast", 400),
              HasSubstr("view: must be realtime or compact"));
  EXPECT_THAT(Get("artifact?partial=2", 400), HasSubstr("partial"));
  EXPECT_THAT(Get("times?view=", 400), HasSubstr("view"));
}

TEST_F(ViewTest, AGrowingRecordingIsPlayedUpToWhatIsDurable) {
  rig_.StartRecording("a", TestSource(320, 240));
  rig_.WaitFor("a", "first_frame");
  EXPECT_THAT(Get("artifact", 409), HasSubstr("partial=1"));
  rig_.WaitDurable("a", absl::Milliseconds(900));

  const std::string first = Get("artifact?partial=1");
  const std::string first_tag = etag_;
  rig_.WaitDurable("a", absl::Milliseconds(1'900));
  const std::string more = Get("artifact?partial=1");
  EXPECT_THAT(Get("artifact?partial=1&view=compact", 400), HasSubstr("view"));
  const Json ended = rig_.StopRecording("a");

  EXPECT_NE(etag_, first_tag);
  EXPECT_EQ(more.substr(0, first.size()), first);
  EXPECT_GE(Play(first).duration, 0.9);
  EXPECT_GE(Play(more).duration, 1.9);
  MissingPictures(Play(more), ended);
  // The room for the index is not in it.
  EXPECT_LT(first.size(), 200'000u);
  // Once it is finished that is what there is.
  EXPECT_EQ(Get("artifact?partial=1"), Get("artifact"));
}

}  // namespace
}  // namespace kine
