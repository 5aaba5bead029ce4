#include "ipc/link_messages.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "daemon/base/limits/live.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ipc/json_in.h"
#include "ipc/json_out.h"
#include "ipc/problem.h"

namespace kine::link {
namespace {

using ::testing::HasSubstr;

Counters SomeCounters() {
  Counters c;
  c.captured = 1;
  c.encoded = 2;
  c.skipped_undamaged = 3;
  c.skipped_paused = 31;
  c.repeated = 30;
  c.pointer = 31;
  c.lost_overload = 4;
  c.lost_in_source = 5;
  c.lost_import = 25;
  c.corrupted = 6;
  c.bytes = 7;
  c.durable_bytes = 8;
  c.durable_until_us = 9;
  c.media_us = 10;
  c.capture = {11, 12, 13};
  c.encode = {14, 15, 16};
  c.write = {17, 18, 19};
  c.total = {20, 21, 22};
  return c;
}

// One of each, with no two fields alike and none at its default, so that a
// swapped or forgotten one shows.
std::vector<ToDaemon> OneOfEach() {
  Format format{"r1", {}, 1280, 720, "XR24", "linear", {}};
  format.source = {"pipewire", "video-src", 42,
                   43,         "MemFd",     false,
                   true,       true,        {{"x11", "no display"}}};
  format.encoder = {"x264", "164", "High", "bt709 limited"};
  Finished finished;
  finished.id = "r1";
  finished.state = Finished::State::kFailed;
  finished.reason = EndReason::kDiskFull;
  finished.truncated = true;
  finished.message = "the disk is full";
  finished.bytes = 101;
  finished.duration_us = 102;
  finished.compact_us = 99;
  finished.frames = 103;
  finished.finalise = {Finished::Index::kTail, 104, 105, 7, 8, 98, true, true};
  finished.counters = SomeCounters();
  finished.cursor = {CursorFile::Mode::kMetadata, 110, 111, 112, 113};
  finished.width = 106;
  finished.height = 107;
  finished.true_width = 108;
  finished.true_height = 109;
  return {Hello{7, "0.1.0", "uring", "probed", {"x264"}, {{"vaapi", "no"}}},
          Accepted{"r1"},
          NeedsConsent{"r2"},
          RestoreToken{"r3", "token"},
          format,
          FirstFrame{"r1", 5, 6, 101, 67},
          Head{"r1", 32, 65'568, 700},
          Fragment{"r1", std::string("\0\xff moof", 7), 1, 2, 3, 4, true},
          Lost{"r1", "node gone", 7},
          Back{"r1", 8, 9},
          Paused{"r1", 10, 11},
          Resumed{"r1", 12, 13, 14},
          Fallback{"", "encoder", "vaapi", "x264", "no GPU"},
          Progress{3,
                   4,
                   {{"r1",
                     SomeCounters(),
                     {CursorFile::Mode::kEmbedded, 23, 24, 27, 28},
                     29},
                    {"r2"}}},
          ReplayKept{"k1", 5, 6, 7, "x264", true},
          ReplayEnded{"k1", "no such node"},
          ShotTaken{"7", "no picture yet", 8, 9, 10},
          ViewBuilt{"no moov", 1, 2, 3, 4},
          finished};
}

TEST(LinkMessages, EveryMessageOfTheRecorderComesBackAsItWas) {
  const std::vector<ToDaemon> all = OneOfEach();
  ASSERT_EQ(all.size(), std::variant_size_v<ToDaemon>);
  for (size_t i = 0; i < all.size(); ++i) {
    ASSERT_EQ(all[i].index(), i);
    const std::string text = ToJson(all[i]);
    const auto back = ParseToDaemon(text);
    ASSERT_TRUE(back.ok()) << text << back.status();
    EXPECT_EQ(back->index(), i);
    EXPECT_EQ(ToJson(*back), text);
    EXPECT_THAT(text,
                HasSubstr(absl::StrCat("{\"type\":\"", TypeOf(all[i]), "\"")));
  }
}

TEST(LinkMessages, ValuesAreReadIntoTheFieldsTheyCameFrom) {
  const auto back = ParseToDaemon(ToJson(OneOfEach().back()));
  ASSERT_TRUE(back.ok());
  const auto& finished = std::get<Finished>(*back);
  EXPECT_EQ(finished.state, Finished::State::kFailed);
  EXPECT_EQ(finished.reason, EndReason::kDiskFull);
  EXPECT_TRUE(finished.truncated);
  EXPECT_EQ(finished.bytes, 101u);
  EXPECT_EQ(finished.finalise.index, Finished::Index::kTail);
  EXPECT_EQ(finished.finalise.index_bytes, 105u);
  EXPECT_EQ(finished.counters.lost_in_source, 5u);
  EXPECT_EQ(finished.counters.lost_import, 25u);
  EXPECT_EQ(finished.cursor.mode, CursorFile::Mode::kMetadata);
  EXPECT_EQ(finished.cursor.events, 110u);
  EXPECT_EQ(finished.cursor.dropped, 113u);
  EXPECT_EQ(finished.counters.write.p99_us, 18);
  EXPECT_EQ(finished.true_height, 109);
  const auto fragment = ParseToDaemon(ToJson(OneOfEach()[7]));
  ASSERT_TRUE(fragment.ok());
  EXPECT_EQ(std::get<Fragment>(*fragment).moof, std::string("\0\xff moof", 7));
}

TEST(LinkMessages, StartAndStopComeBackAsTheyWere) {
  Start start;
  start.id = "rec.1";
  start.settings.source = PipeWireRequest{std::nullopt, 77, "", "pipewire-1"};
  start.settings.fps_max = 59.94;
  start.settings.profile = RecordingSettings::Profile::kStudio;
  start.settings.bitrate = 4'000'000;
  start.settings.encoder = RecordingSettings::Encoder::kSoftware;
  start.settings.cursor = RecordingSettings::Cursor::kEmbedded;
  start.settings.max_bytes = 5 << 20;
  start.settings.max_duration_ms = 5'000;
  start.settings.source_grace_ms = 0;
  start.settings.durability = RecordingSettings::Durability::kFinish;
  start.settings.idle = {0, 700, 12};
  start.queue_packets = 12;
  start.restore_token = "token";
  const auto back = ParseToRecorder(ToJson(ToRecorder(start)));
  ASSERT_TRUE(back.ok()) << back.status();
  const auto& got = std::get<Start>(*back);
  EXPECT_EQ(got.id, "rec.1");
  EXPECT_EQ(got.settings, start.settings);
  EXPECT_EQ(got.queue_packets, 12);
  EXPECT_EQ(got.restore_token, "token");
  const auto stop =
      ParseToRecorder(ToJson(ToRecorder(Stop{"x", EndReason::kShutdown})));
  ASSERT_TRUE(stop.ok());
  EXPECT_EQ(std::get<Stop>(*stop).reason, EndReason::kShutdown);
  const auto pause = ParseToRecorder(ToJson(ToRecorder(Pause{"p"})));
  ASSERT_TRUE(pause.ok());
  EXPECT_EQ(std::get<Pause>(*pause).id, "p");
  const auto resume = ParseToRecorder(ToJson(ToRecorder(Resume{"q"})));
  ASSERT_TRUE(resume.ok());
  EXPECT_EQ(std::get<Resume>(*resume).id, "q");
}

TEST(LinkMessages, ReplaysAndShotsComeBackAsTheyWere) {
  RecordingSettings settings;
  settings.source = TestRequest{320, 240, 15};
  settings.quality = 71;
  const auto keep = ParseToRecorder(ToJson(
      ToRecorder(KeepReplay{"k1", settings, "token", 30'000, 1 << 20, 7})));
  ASSERT_TRUE(keep.ok()) << keep.status();
  EXPECT_EQ(std::get<KeepReplay>(*keep).id, "k1");
  EXPECT_EQ(std::get<KeepReplay>(*keep).settings, settings);
  EXPECT_EQ(std::get<KeepReplay>(*keep).restore_token, "token");
  EXPECT_EQ(std::get<KeepReplay>(*keep).keep_ms, 30'000);
  EXPECT_EQ(std::get<KeepReplay>(*keep).bytes_max, 1u << 20);
  EXPECT_EQ(std::get<KeepReplay>(*keep).queue_packets, 7);
  const auto save = ParseToRecorder(
      ToJson(ToRecorder(SaveReplay{"r1", "k1", settings, 5'000, 12})));
  ASSERT_TRUE(save.ok()) << save.status();
  EXPECT_EQ(std::get<SaveReplay>(*save).id, "r1");
  EXPECT_EQ(std::get<SaveReplay>(*save).replay, "k1");
  EXPECT_EQ(std::get<SaveReplay>(*save).settings, settings);
  EXPECT_EQ(std::get<SaveReplay>(*save).last_ms, 5'000);
  EXPECT_EQ(std::get<SaveReplay>(*save).queue_packets, 12);
  const auto shot =
      ParseToRecorder(ToJson(ToRecorder(Shot{"7", settings, 640, 360})));
  ASSERT_TRUE(shot.ok()) << shot.status();
  EXPECT_EQ(std::get<Shot>(*shot).id, "7");
  EXPECT_EQ(std::get<Shot>(*shot).settings, settings);
  EXPECT_EQ(std::get<Shot>(*shot).width, 640);
  EXPECT_EQ(std::get<Shot>(*shot).height, 360);
  // A ring has a name, as everything that a message is about.
  EXPECT_EQ(FieldOf(ParseToRecorder(absl::StrReplaceAll(
                                        ToJson(ToRecorder(SaveReplay{
                                            "r1", "k1", settings, 5'000, 12})),
                                        {{"\"k1\"", "\"\""}}))
                        .status()),
            "replay");
}

TEST(LinkMessages, EveryReasonHasANameOfItsOwn) {
  for (int i = 0; i <= static_cast<int>(EndReason::kInternal); ++i) {
    const auto reason = static_cast<EndReason>(i);
    EXPECT_EQ(EndReasonFromName(EndReasonName(reason)), reason);
  }
  EXPECT_EQ(EndReasonFromName("tired"), std::nullopt);
}

TEST(LinkMessages, AMessageThatIsNotWholeIsRefusedByTheMembersName) {
  const std::string whole = ToJson(ToDaemon(FirstFrame{"r1", 5, 6}));
  const auto verdict = [&](const char* from, const char* to) {
    return ParseToDaemon(absl::StrReplaceAll(whole, {{from, to}})).status();
  };
  EXPECT_TRUE(ParseToDaemon(whole).ok());
  EXPECT_EQ(FieldOf(verdict(",\"wall_us\":6", "")), "wall_us");
  EXPECT_EQ(FieldOf(verdict("\"mono_us\":5", "\"mono_us\":-5")), "mono_us");
  EXPECT_EQ(FieldOf(verdict("\"r1\"", "\"../r1\"")), "id");
  EXPECT_EQ(FieldOf(verdict("\"wall_us\":6", "\"wall_us\":6,\"x\":1")), "x");
  EXPECT_EQ(FieldOf(verdict("first_frame", "second_frame")), "type");
  EXPECT_FALSE(ParseToRecorder(whole).ok());
  EXPECT_FALSE(ParseToDaemon("{}").ok());
  EXPECT_FALSE(ParseToDaemon("").ok());
}

TEST(LinkMessages, ForeignTextIsCutBetweenCharactersAndNeverBreaksTheLink) {
  const std::string e_acute = "\xc3\xa9";
  std::string text = "x";  // Odd, so that the cut falls inside a character.
  while (text.size() < 2000) text += e_acute;
  const auto back = ParseToDaemon(ToJson(ToDaemon(Lost{"r1", text, 0})));
  ASSERT_TRUE(back.ok()) << back.status();
  const std::string& got = std::get<Lost>(*back).reason;
  EXPECT_EQ(got, text.substr(0, limits::kLinkTextBytesMax - 1));
  for (const char c : {'\x01', '\xff', '"', '\x7f'}) {
    Format format;
    format.id = std::string(64, 'a');
    const std::string nasty(10'000, c);
    format.source = {nasty, nasty, 1,
                     1,     nasty, false,
                     false, false, std::vector<Refusal>(100, {nasty, nasty})};
    format.pixels = format.modifier = nasty;
    format.encoder = {nasty, nasty, nasty, nasty};
    const std::string message = ToJson(ToDaemon(format));
    EXPECT_LE(message.size(), limits::kLinkMessageBytesMax);
    const auto parsed = ParseToDaemon(message);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(std::get<Format>(*parsed).source.refusals.size(),
              limits::kLinkRefusalsMax);
  }
}

TEST(LinkMessages, ACounterThatNobodyCanReadBecomesZero) {
  Counters wild;
  wild.bytes = ~0ull;
  wild.media_us = -1;
  const auto back =
      ParseToDaemon(ToJson(ToDaemon(Progress{1, 2, {{"r", wild}}})));
  ASSERT_TRUE(back.ok()) << back.status();
  const Counters& got = std::get<Progress>(*back).recordings[0].counters;
  EXPECT_EQ(got.bytes, 0u);
  EXPECT_EQ(got.media_us, 0);
}

TEST(LinkMessages, TheFragmentOfTheLongestQueueFits) {
  const Fragment fragment{std::string(64, 'a'),
                          std::string(limits::kLiveMoofBytesMax, '\xff'),
                          INT64_MAX,
                          INT64_MAX,
                          INT64_MAX,
                          INT64_MAX,
                          false};
  const auto back = ParseToDaemon(ToJson(ToDaemon(fragment)));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(std::get<Fragment>(*back).moof, fragment.moof);
}

TEST(LinkMessages, ATokenThatIsTooLongIsNotSentInPieces) {
  const auto back = ParseToDaemon(
      ToJson(ToDaemon(RestoreToken{"r", std::string(2000, 't')})));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(std::get<RestoreToken>(*back).token, "");
}

TEST(LinkMessages, TheFullestProgressFits) {
  Progress progress;
  for (int i = 0; i < limits::kRecordingsMax; ++i) {
    Counters c;
    c.captured = c.encoded = c.skipped_undamaged = c.skipped_paused =
        c.repeated = c.pointer = c.lost_overload = c.lost_in_source =
            c.lost_import = c.corrupted = c.bytes = c.durable_bytes = INT64_MAX;
    c.durable_until_us = c.media_us = INT64_MAX;
    c.capture = c.encode = c.write =
        c.total = {INT64_MAX, INT64_MAX, INT64_MAX};
    constexpr uint64_t kMost = INT64_MAX;
    progress.recordings.push_back(
        {std::string(64, 'a'),
         c,
         {CursorFile::Mode::kMetadata, kMost, kMost, kMost, kMost},
         INT64_MAX});
  }
  const auto back = ParseToDaemon(ToJson(ToDaemon(progress)));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(std::get<Progress>(*back).recordings.size(),
            size_t{limits::kRecordingsMax});
}

}  // namespace
}  // namespace kine::link
