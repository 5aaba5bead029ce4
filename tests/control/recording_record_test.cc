#include "daemon/control/recording_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "daemon/base/record_text.h"
#include "ipc/problem.h"

namespace kine {
namespace {

using testing::HasSubstr;
using testing::Not;

RecordingRecord FullRecord() {
  RecordingRecord r;
  r.id = "a.b-1";
  r.owner = "chat-1";
  r.request.id = r.id;
  r.request.settings.source = PipeWireRequest{.name = "desk"};
  r.request.settings.max_bytes = 12'345'678;
  r.request.labels = {{"step", "7"}, {"note", "x\"y"}};
  r.state = RecordingState::kReady;
  r.reason = "max_bytes";
  r.message = "full";
  r.truncated = true;
  r.created_at = absl::FromUnixMicros(1'700'000'000'123'456);
  r.first_frame_at = absl::FromUnixMicros(1'700'000'000'223'456);
  r.finished_at = absl::FromUnixMicros(1'700'000'009'123'456);
  r.gaps = 2;
  r.format.source.kind = "pipewire";
  r.format.source.name = "desk";
  r.format.source.node_id = 41;
  r.format.source.serial = 99;
  r.format.source.memory = "MemFd";
  r.format.source.cursor_embedded = false;
  r.format.source.has_damage = true;
  r.format.source.has_times = true;
  r.format.source.refusals = {{"portal", "no bus"}};
  r.format.width = 1366;
  r.format.height = 768;
  r.format.pixels = "XR24";
  r.format.modifier = "linear";
  r.format.encoder = {"x264", "164", "High", "bt709 limited"};
  r.counters.captured = 10;
  r.counters.encoded = 7;
  r.counters.skipped_undamaged = 1;
  r.counters.skipped_paused = 5;
  r.counters.repeated = 9;
  r.counters.pointer = 10;
  r.counters.lost_overload = 2;
  r.paused_us = 6;
  r.counters.lost_in_source = 3;
  r.counters.lost_import = 5;
  r.counters.corrupted = 4;
  r.counters.encode = {1, 2, 3};
  r.counters.total = {4, 5, 6};
  r.cursor = {link::CursorFile::Mode::kMetadata, 12, 13, 14, 15};
  r.fallbacks = {{"", "file_io", "uring", "thread", "seccomp"}};
  r.bytes = 5'000;
  r.duration_us = 9'000'000;
  r.frames = 7;
  r.finalise = {link::Finished::Index::kFront, 321, 99};
  r.width = 1366;
  r.height = 768;
  r.true_width = 1365;
  r.true_height = 767;
  r.recovery = RecoveryReport{"paused", "recorder_died",    7, 5'000, 8, 9, 10,
                              11,       {{"alive", "torn"}}};
  return r;
}

TEST(RecordingRecordTest, AManifestReadsBackWhole) {
  const RecordingRecord record = FullRecord();
  const std::string text = ManifestOf(record);

  const absl::StatusOr<RecordingRecord> read = ParseManifest(text);

  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(ManifestOf(*read), text);  // Every member that is written.
  EXPECT_EQ(read->owner, record.owner);
  EXPECT_EQ(read->created_at, record.created_at);
  EXPECT_EQ(read->first_frame_at, record.first_frame_at);
  EXPECT_EQ(read->generation(), record.generation());
  EXPECT_EQ(read->request, record.request);
  EXPECT_EQ(read->counters.lost_overload, 2u);
  EXPECT_EQ(read->cursor.mode, link::CursorFile::Mode::kMetadata);
  EXPECT_EQ(read->cursor.dropped, 15u);
  EXPECT_EQ(read->format.source.refusals.at(0).reason, "no bus");
  EXPECT_EQ(read->finalise.index, link::Finished::Index::kFront);
  EXPECT_EQ(read->recovery->damaged.at(0).what, "torn");
}

TEST(RecordingRecordTest, AManifestCutAnywhereIsRefused) {
  const std::string text = ManifestOf(FullRecord());
  // The last byte is the newline behind the object.
  for (size_t n = 0; n + 1 < text.size(); ++n)
    ASSERT_FALSE(ParseManifest(text.substr(0, n)).ok()) << n;
}

// What is of a newer program may be different in every other member.
TEST(RecordingRecordTest, AManifestOfANewerFormatIsNotTakenForADamagedOne) {
  const absl::Status status =
      ParseManifest(R"({"format_version":3,"id":7,"state":"dreaming"})")
          .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(status.message(), HasSubstr("format_version 3"));
}

// As the first versions wrote it; the very first had no number.
TEST(RecordingRecordTest, AManifestOfTheFirstFormatIsRead) {
  for (const char* number : {"\"format\":1,", ""}) {
    const auto read = ParseManifest(absl::StrCat(
        "{", number,
        R"("id":"a","state":"ready","reason":"stopped","truncated":false,)"
        R"("created_at":"2026-11-21T13:51:58.966460Z",)"
        R"("request":"{\"id\":\"a\",\"source\":{\"test\":{}}}",)"
        R"("artifact":{"bytes":5,"duration_us":9,"frames":2,"index":"front"}})"));
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->state, RecordingState::kReady);
    EXPECT_EQ(read->bytes, 5u);
    EXPECT_FALSE(read->recovery.has_value());
    EXPECT_THAT(ManifestOf(*read), HasSubstr("\"format_version\":2"));
  }
}

TEST(RecordingRecordTest, MembersOfANewerProgramAreIgnored) {
  std::string text = ManifestOf(FullRecord());
  text.insert(1, "\"hologram\":{\"depth\":3},");
  EXPECT_TRUE(ParseManifest(text).ok());
}

TEST(RecordingRecordTest, TheStepsAreThoseOfTheTableAndEndAtTheEnd) {
  using S = RecordingState;
  for (const S from : kRecordingStates) {
    EXPECT_FALSE(CanStep(from, from));
    // Nothing leaves an end, and nothing goes back to the start.
    EXPECT_FALSE(CanStep(from, S::kStarting));
    for (const S to : kRecordingStates)
      EXPECT_TRUE(IsActive(from) || !CanStep(from, to));
    // A file that can be served exists only after finalising.
    EXPECT_EQ(CanStep(from, S::kReady), from == S::kFinalizing);
    EXPECT_EQ(CanStep(from, S::kInterrupted), from == S::kFinalizing);
    // A recording with frames always gets its file finalised.
    EXPECT_EQ(CanStep(from, S::kFailed),
              from == S::kStarting || from == S::kFinalizing);
    // Whoever is active can come to an end by finalising.
    EXPECT_EQ(CanStep(from, S::kFinalizing), from == S::kStarting ||
                                                 from == S::kRecording ||
                                                 from == S::kPaused);
    EXPECT_EQ(CanStep(from, S::kPaused), from == S::kRecording);
  }
}

TEST(RecordingRecordTest, EveryStateHasANameThatReadsBack) {
  for (const RecordingState state : kRecordingStates)
    EXPECT_EQ(RecordingStateFromName(RecordingStateName(state)), state);
  EXPECT_FALSE(RecordingStateFromName("").has_value());
}

TEST(RecordingRecordTest, TheReplyTellsOnlyWhatHasHappened) {
  RecordingRecord r = FullRecord();
  r.state = RecordingState::kStarting;
  r.reason.clear();
  r.format = {};
  std::string reply = StateReplyOf(r, false);
  EXPECT_THAT(reply, HasSubstr("\"waiting_for_first_frame\":true"));
  EXPECT_THAT(reply, HasSubstr("\"attached\":false"));
  EXPECT_THAT(reply, Not(HasSubstr("\"artifact\"")));
  EXPECT_THAT(reply, Not(HasSubstr("\"source_present\"")));

  r.needs_consent = true;
  reply = StateReplyOf(r, std::nullopt);
  EXPECT_THAT(reply, HasSubstr("\"waiting_for_first_frame\":false"));
  EXPECT_THAT(reply, HasSubstr("\"needs_consent\":true"));
  EXPECT_THAT(reply, Not(HasSubstr("\"attached\"")));

  r = FullRecord();
  EXPECT_THAT(StateReplyOf(r, std::nullopt),
              HasSubstr("\"artifact\":{\"bytes\":5000"));
  r.state = RecordingState::kFailed;
  EXPECT_THAT(StateReplyOf(r, std::nullopt), Not(HasSubstr("\"artifact\"")));
}

TEST(RecordingRecordTest, ARestoreTokenIsKeptButNotShown) {
  RecordingRecord r = FullRecord();
  r.request.settings.source = PortalRequest{.restore_token = "s3cret"};
  EXPECT_THAT(StateReplyOf(r, std::nullopt), Not(HasSubstr("s3cret")));
  EXPECT_EQ(ParseManifest(ManifestOf(r))->request, r.request);
}

TEST(RecordingRecordTest, TimesAreUtcWithMicroseconds) {
  EXPECT_EQ(TimeText(absl::FromUnixMicros(1'700'000'000'000'007)),
            "2023-11-14T22:13:20.000007Z");
}

}  // namespace
}  // namespace kine
