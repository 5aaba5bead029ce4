// A timeline made of its lines, and what is asked of it.
#include "daemon/timeline/timeline.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits/timeline.h"
#include "daemon/storage/append_log.h"
#include "daemon/timeline/timeline_text.h"
#include "ipc/problem.h"

namespace kine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr int64_t kSecond = 1'000'000;

std::string Line(absl::string_view type, absl::string_view data) {
  return LogLine(absl::UnixEpoch(), 0, type, data);
}

MarkerRequest Request(const std::string& label) {
  MarkerRequest request;
  request.label = label;
  return request;
}

class TimelineTest : public testing::Test {
 protected:
  TimelineTest() {
    clock_.first_frame_at = absl::FromUnixSeconds(1'000);
    clock_.first_frame_mono_us = 50 * kSecond;
    clock_.now_mono_us = 150 * kSecond;
  }
  // From 10 s to 15 s of media time lie 5 s, at 20 s lie 3 s of pause.
  void Pauses() {
    Add(kPausedType, R"({"id":"a","media_us":10000000,"paused_at_us":1})");
    Add(kResumedType, R"({"id":"a","media_us":10000000,"paused_us":5000000})");
    Add(kPausedType, R"({"id":"a","media_us":20000000,"paused_at_us":1})");
    Add(kResumedType, R"({"id":"a","media_us":20000000,"paused_us":3000000})");
  }
  void Add(absl::string_view type, absl::string_view data) {
    timeline_.AddLine(Line(type, data));
  }
  absl::StatusOr<Timeline::Accepted> Set(const MarkerRequest& request,
                                         const std::string& key = "") {
    absl::StatusOr<Timeline::Accepted> accepted =
        timeline_.Accept(request, key, clock_);
    if (accepted.ok() && !accepted->attached)
      Add(kMarkerType, MarkerData(accepted->marker));
    return accepted;
  }

  Timeline timeline_;
  MediaClock clock_;
};

TEST_F(TimelineTest, MediaTimeStandsStillInAPauseAndBothWaysAgree) {
  Pauses();
  const std::pair<int64_t, int64_t> elapsed_media[] = {
      {0, 0},   {9, 9},   {10, 10}, {12, 10}, {15, 10},
      {16, 11}, {25, 20}, {27, 20}, {28, 20}, {29, 21}};
  for (const auto& [elapsed, media] : elapsed_media)
    EXPECT_EQ(timeline_.MediaAt(elapsed * kSecond), media * kSecond) << elapsed;
  EXPECT_EQ(timeline_.ElapsedAt(9 * kSecond), 9 * kSecond);
  EXPECT_EQ(timeline_.ElapsedAt(11 * kSecond), 16 * kSecond);
  EXPECT_EQ(timeline_.ElapsedAt(21 * kSecond), 29 * kSecond);
  // One that lasts.
  Add(kPausedType, R"({"media_us":30000000})");
  EXPECT_EQ(timeline_.MediaAt(500 * kSecond), 30 * kSecond);
}

TEST_F(TimelineTest, AMomentIsNamedByAnyClockAndMeansTheSame) {
  Pauses();
  EXPECT_EQ(Set(Request("now"))->marker.media_us, 92 * kSecond);
  MarkerRequest request = Request("there");
  request.at_media_us = 11 * kSecond;
  EXPECT_EQ(Set(request)->marker.media_us, 11 * kSecond);
  request.at_media_us.reset();
  request.at = absl::FromUnixSeconds(1'016);
  EXPECT_EQ(Set(request)->marker.media_us, 11 * kSecond);
  request.at.reset();
  request.at_mono_us = (50 + 16) * kSecond;
  const auto last = Set(request);
  EXPECT_EQ(last->marker.media_us, 11 * kSecond);
  EXPECT_EQ(last->marker.wall_us, 1'016 * kSecond);
  EXPECT_EQ(last->marker.number, 4);
}

TEST_F(TimelineTest, AMomentOutsideOfTheRecordingIsRefusedByItsName) {
  MarkerRequest request = Request("x");
  request.at_media_us = 101 * kSecond;
  EXPECT_THAT(std::string(Set(request).status().message()),
              HasSubstr("at_media_us: lies 1000000 us after the present"));
  request.at_media_us.reset();
  request.at = absl::FromUnixSeconds(999);
  EXPECT_THAT(std::string(Set(request).status().message()),
              HasSubstr("at: lies 1000000 us before the first frame"));
  request.at.reset();
  clock_ = {clock_.first_frame_at, std::nullopt, std::nullopt, 5 * kSecond};
  EXPECT_EQ(FieldOf(Set(request).status()), "at_media_us");
  request.at_mono_us = 51 * kSecond;
  EXPECT_EQ(FieldOf(Set(request).status()), "at_mono_us");
  request.at_mono_us.reset();
  request.at_media_us = 5 * kSecond + 1;
  EXPECT_THAT(std::string(Set(request).status().message()),
              HasSubstr("after the end"));
  request.at_media_us = 5 * kSecond;
  EXPECT_TRUE(Set(request).ok());
}

TEST_F(TimelineTest, AKeyMakesOneMarkerAndNeverAnother) {
  const auto first = Set(Request("x"), "key");
  clock_.now_mono_us = 160 * kSecond;
  const auto again = Set(Request("x"), "key");
  EXPECT_FALSE(first->attached);
  EXPECT_TRUE(again->attached);
  EXPECT_EQ(again->marker.media_us, first->marker.media_us);
  const absl::Status other = Set(Request("y"), "key").status();
  EXPECT_EQ(ProblemOf(other).status, 409);
  EXPECT_EQ(ProblemOf(other).code, "different_request");
  EXPECT_EQ(timeline_.markers().size(), 1u);
}

TEST_F(TimelineTest, ItsMarkersAreCountedAndTheLimitHasAName) {
  for (size_t i = 0; i < limits::kMarkersMax; ++i)
    ASSERT_TRUE(Set(Request("x")).ok());
  const absl::Status full = Set(Request("x")).status();
  EXPECT_EQ(ProblemOf(full).status, 429);
  EXPECT_THAT(std::string(full.message()), HasSubstr("limit markers (4096)"));
}

TEST(MarkerRequestTest, RefusesWhatItDoesNotKnowByName) {
  EXPECT_EQ(FieldOf(ParseMarkerRequest("{}").status()), "label");
  EXPECT_EQ(FieldOf(ParseMarkerRequest(R"({"label":""})").status()), "label");
  EXPECT_EQ(
      FieldOf(ParseMarkerRequest(
                  absl::StrCat("{\"label\":\"", std::string(257, 'x'), "\"}"))
                  .status()),
      "label");
  EXPECT_EQ(FieldOf(ParseMarkerRequest(R"({"label":"a\nb"})").status()),
            "label");
  EXPECT_EQ(
      FieldOf(ParseMarkerRequest(R"({"label":"a","kind":"odd"})").status()),
      "kind");
  EXPECT_EQ(
      FieldOf(ParseMarkerRequest(R"({"label":"a","at":"noon"})").status()),
      "at");
  EXPECT_EQ(FieldOf(ParseMarkerRequest(
                        R"({"label":"a","at_media_us":1,"at_mono_us":1})")
                        .status()),
            "at_mono_us");
  const auto good = ParseMarkerRequest(
      R"({"label":"a","kind":"error","at":"2026-01-31T12:00:00.25Z",)"
      R"("duration_us":5,"attrs":{"k":"v"}})");
  ASSERT_TRUE(good.ok()) << good.status();
  EXPECT_EQ(ToJson(*good),
            R"({"label":"a","kind":"error","at":"2026-01-31T12:00:00.250000Z",)"
            R"("duration_us":5,"attrs":{"k":"v"}})");
}

TEST_F(TimelineTest, ChaptersAreMarkersAndCommandsByTime) {
  MarkerRequest request = Request("late");
  request.at_media_us = 9 * kSecond;
  ASSERT_TRUE(Set(request).ok());
  request = Request("a & <b> = #1; \\");
  request.at_media_us = 1 * kSecond;
  request.duration_us = 2 * kSecond;
  ASSERT_TRUE(Set(request).ok());
  CommandSpan command{"p", "make -j8", 5 * kSecond, {}, "", {}};
  Add(kCommandType, CommandData(command));
  Add(kCommandType, CommandData({"p", "", 0, 6 * kSecond, "exit 2", 2}));

  EXPECT_EQ(MarkersFfmetadata(timeline_, 10 * kSecond),
            ";FFMETADATA1\n"
            "[CHAPTER]\nTIMEBASE=1/1000000\nSTART=1000000\nEND=3000000\n"
            "title=a & <b> \\= \\#1\\; \\\\\n"
            "[CHAPTER]\nTIMEBASE=1/1000000\nSTART=5000000\nEND=6000000\n"
            "title=$ make -j8 (exit 2)\n"
            "[CHAPTER]\nTIMEBASE=1/1000000\nSTART=9000000\nEND=10000000\n"
            "title=late\n");
  EXPECT_THAT(MarkersVtt(timeline_, 10 * kSecond),
              HasSubstr("WEBVTT\n\n00:00:01.000 --> 00:00:03.000\n"
                        "a &amp; &lt;b&gt; = #1; \\\n\n"));
}

TEST_F(TimelineTest, SegmentsSayWhenEveryMomentWas) {
  Pauses();
  Add(kSourceLostType, R"({"id":"a","reason":"gone","media_us":1})");
  Add(kSourceBackType, R"({"id":"a","gap_us":2,"media_us":3})");
  const std::string json = TimelineJson(
      {"a", clock_.first_frame_at, clock_.first_frame_mono_us, 21 * kSecond},
      timeline_);
  EXPECT_THAT(
      json,
      HasSubstr(R"("segments":[{"media_us":0,"duration_us":10000000,)"
                R"("at":"1970-01-01T00:16:40.000000Z"},)"
                R"({"media_us":10000000,"duration_us":10000000,)"
                R"("at":"1970-01-01T00:16:55.000000Z"},)"
                R"({"media_us":20000000,"duration_us":1000000,)"
                R"("at":"1970-01-01T00:17:08.000000Z"}],)"
                R"("pauses":[{"media_us":10000000,"paused_us":5000000},)"
                R"({"media_us":20000000,"paused_us":3000000}],)"
                R"("gaps":[{"media_us":1,"end_media_us":3,"reason":"gone"}])"));
}

TEST(TimelineFileTest, WhatIsBehindATornLineIsNotThere) {
  char name[] = "/tmp/kine_timeline.XXXXXX";
  ASSERT_NE(::mkdtemp(name), nullptr);
  const UniqueFd directory(::open(name, O_DIRECTORY | O_CLOEXEC));
  EXPECT_TRUE(ReadTimeline(directory.get())->markers().empty());
  Marker marker;
  marker.label = "kept";
  marker.attributes["k"] = "v";
  marker.key = "key";
  marker.request = "{\"label\":\"kept\"}";
  const std::string line = SealLine(Line(kMarkerType, MarkerData(marker)));
  std::ofstream(std::string(name) + "/" + kEventLogName)
      << line << line.substr(0, 40) << "\n"
      << line;

  const auto timeline = ReadTimeline(directory.get());

  ASSERT_TRUE(timeline.ok()) << timeline.status();
  ASSERT_EQ(timeline->markers().size(), 1u);
  EXPECT_EQ(timeline->markers()[0].label, "kept");
  EXPECT_EQ(timeline->markers()[0].attributes.at("k"), "v");
  EXPECT_EQ(timeline->markers()[0].request, marker.request);
  std::filesystem::remove_all(name);
}

}  // namespace
}  // namespace kine
