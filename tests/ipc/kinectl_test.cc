// kinectl's command line and texts; the program itself is run against a real
// daemon by the integration tests.
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/kinectl/args.h"
#include "tools/kinectl/recording_state.h"
#include "tools/kinectl/session.h"
#include "tools/kinectl/values.h"
#include "tools/kinectl/verbs.h"

namespace kinectl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

absl::StatusOr<CommandLine> Parse(std::vector<const char*> words) {
  return ParseCommandLine(AllVerbs(), GlobalFlags(), words);
}

std::string Mistake(std::vector<const char*> words) {
  const auto line = Parse(std::move(words));
  EXPECT_FALSE(line.ok());
  const std::string message(line.status().message());
  EXPECT_THAT(message, Not(HasSubstr("\n"))) << "more than the one error";
  return message;
}

std::string RequestMistake(std::vector<const char*> words) {
  words.insert(words.begin(), "record");
  const auto line = Parse(std::move(words));
  EXPECT_TRUE(line.ok()) << line.status();
  const auto request = RequestOf(line->args);
  EXPECT_FALSE(request.ok());
  return std::string(request.status().message());
}

kine::RecordingRequest RequestFor(std::vector<const char*> words) {
  words.insert(words.begin(), "record");
  const auto line = Parse(std::move(words));
  EXPECT_TRUE(line.ok()) << line.status();
  const auto request = RequestOf(line->args);
  EXPECT_TRUE(request.ok()) << request.status();
  return request.ok() ? *request : kine::RecordingRequest();
}

TEST(KinectlArgs, FlagsMayStandAnywhereAndBeWrittenBothWays) {
  const auto line =
      Parse({"--socket=/s", "status", "--wait", "ready", "id-1", "--json"});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_STREQ(line->verb->name, "status");
  EXPECT_EQ(line->args.Get("socket"), "/s");
  EXPECT_EQ(line->args.Get("wait"), "ready");
  EXPECT_TRUE(line->args.Has("json"));
  EXPECT_FALSE(line->args.Has("owner"));
  EXPECT_THAT(line->args.operands(), ElementsAre("id-1"));
}

TEST(KinectlArgs, ADashInAFlagsNameIsAnUnderscore) {
  const auto line = Parse({"doctor", "--self-test", "--render-node=/dev/a-b"});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_TRUE(line->args.Has("self_test"));
  EXPECT_EQ(line->args.Get("render_node"), "/dev/a-b");
}

TEST(KinectlArgs, ADoubleDashEndsTheFlags) {
  const auto line = Parse({"status", "--", "--wait"});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_THAT(line->args.operands(), ElementsAre("--wait"));
}

TEST(KinectlArgs, EveryMistakeIsNamedAlone) {
  EXPECT_THAT(Mistake({}), HasSubstr("no command given"));
  EXPECT_THAT(Mistake({"recrod"}), HasSubstr("'recrod' is no command"));
  EXPECT_THAT(Mistake({"list", "--stat=x"}),
              HasSubstr("list has no flag '--stat'; it has --state, --socket"));
  EXPECT_THAT(Mistake({"--state=x", "list"}), HasSubstr("before the command"));
  EXPECT_THAT(Mistake({"list", "-x"}), HasSubstr("no flag '-x'"));
  EXPECT_THAT(Mistake({"list", "-json"}), HasSubstr("no flag '-json'"));
  EXPECT_THAT(Mistake({"list", "--json=1"}), HasSubstr("takes no value"));
  EXPECT_THAT(Mistake({"list", "--state"}), HasSubstr("--state=STATE"));
  EXPECT_THAT(Mistake({"list", "--state=a", "--state=b"}),
              HasSubstr("given twice"));
  EXPECT_THAT(Mistake({"stop"}), HasSubstr("stop needs its ID"));
  EXPECT_THAT(Mistake({"stop", "a", "b"}), HasSubstr("'b' is one too many"));
  EXPECT_THAT(Mistake({"list", "a"}), HasSubstr("takes no operand"));
}

TEST(KinectlArgs, HelpNamesEveryVerbAndEveryFlag) {
  const std::string all = ProgramHelp(AllVerbs(), GlobalFlags());
  for (const Verb& verb : AllVerbs()) {
    EXPECT_THAT(all, HasSubstr(verb.summary));
    const std::string help = VerbHelp(verb, GlobalFlags());
    EXPECT_THAT(help, HasSubstr(absl::StrCat("kinectl ", verb.name)));
    for (const Flag& flag : verb.flags)
      EXPECT_THAT(help, HasSubstr(absl::StrCat("--", flag.name)));
    // Help needs neither operand nor the rest to be right.
    EXPECT_TRUE(Parse({verb.name, "--help"}).ok());
  }
  EXPECT_TRUE(Parse({"-h"}).ok());
  EXPECT_TRUE(Parse({"--version"}).ok());
}

TEST(KinectlValues, DurationsBytesAndSizes) {
  EXPECT_EQ(*ParseDuration("5s"), absl::Seconds(5));
  EXPECT_EQ(*ParseDuration("500ms"), absl::Milliseconds(500));
  EXPECT_EQ(*ParseDuration("1m30s"), absl::Seconds(90));
  EXPECT_EQ(*ParseDuration("2.5"), absl::Milliseconds(2500));
  for (const char* bad : {"", "x", "0s", "-5s", "inf", "nan", "169h", "1e300"})
    EXPECT_FALSE(ParseDuration(bad).ok()) << bad;
  EXPECT_EQ(*ParseBytes("4096"), 4096u);
  EXPECT_EQ(*ParseBytes("64K"), 65536u);
  EXPECT_EQ(*ParseBytes("2g"), 2ull << 30);
  for (const char* bad : {"", "K", "-1", "1.5M", "17179869184G", "1T", "0x10"})
    EXPECT_FALSE(ParseBytes(bad).ok()) << bad;
  EXPECT_EQ(ParseSize("1366x768")->width, 1366);
  EXPECT_EQ(ParseSize("1366x768")->height, 768);
  for (const char* bad : {"", "x", "1280", "1280x", "1280x720x2", "axb"})
    EXPECT_FALSE(ParseSize(bad).ok()) << bad;
}

TEST(KinectlValues, TheFlagsOfRecordMakeTheRequest) {
  const auto request = RequestFor(
      {"--id=a", "--source=test", "--size=640x360", "--fps=12",
       "--pattern=video", "--duration=5s", "--max_bytes=10M", "--quality=70",
       "--profile=studio", "--encoder=software", "--durability=finish",
       "--cursor=embedded", "--crop=320x200+16+8", "--idle_stop=90s",
       "--compact_after=2s", "--compact_speed=20", "--labels=a=b,c=d=e",
       "--restart", "--output=x.mp4"});
  kine::RecordingRequest expected;
  expected.id = "a";
  expected.settings.source =
      kine::TestRequest{640, 360, 12, kine::TestRequest::Pattern::kVideo};
  expected.settings.fps_max = 12;
  expected.settings.max_duration_ms = 5000;
  expected.settings.max_bytes = 10 << 20;
  expected.settings.quality = 70;
  expected.settings.profile = kine::RecordingSettings::Profile::kStudio;
  expected.settings.encoder = kine::RecordingSettings::Encoder::kSoftware;
  expected.settings.durability = kine::RecordingSettings::Durability::kFinish;
  expected.settings.cursor = kine::RecordingSettings::Cursor::kEmbedded;
  expected.settings.crop = {16, 8, 320, 200};
  expected.settings.idle = {90'000, 2000, 20};
  expected.labels = {{"a", "b"}, {"c", "d=e"}};
  expected.on_existing = kine::RecordingRequest::OnExisting::kRestart;
  EXPECT_EQ(request, expected) << ToJson(request);
}

TEST(KinectlValues, EverySourceHasAWord) {
  const auto source = [](const char* word) {
    return RequestFor({word}).settings.source;
  };
  EXPECT_EQ(RequestFor({}).settings.source,
            kine::SourceRequest(kine::AutoRequest{}));
  EXPECT_EQ(source("--source=auto"), kine::SourceRequest(kine::AutoRequest{}));
  EXPECT_EQ(source("--source=portal"),
            kine::SourceRequest(kine::PortalRequest{}));
  EXPECT_EQ(source("--source=pipewire"),
            kine::SourceRequest(kine::PipeWireRequest{}));
  EXPECT_EQ(source("--source=pipewire:my node"),
            kine::SourceRequest(kine::PipeWireRequest{
                std::nullopt, std::nullopt, "my node", ""}));
  EXPECT_EQ(
      source("--source=pipewire:node:42"),
      kine::SourceRequest(kine::PipeWireRequest{42, std::nullopt, "", ""}));
  EXPECT_EQ(
      source("--source=pipewire:serial:43"),
      kine::SourceRequest(kine::PipeWireRequest{std::nullopt, 43, "", ""}));
}

TEST(KinectlValues, WhatCannotBeIsRefusedBeforeTheDaemonIsAsked) {
  EXPECT_THAT(RequestMistake({"--id=../x"}), HasSubstr("--id='../x'"));
  EXPECT_THAT(RequestMistake({"--id="}), HasSubstr("--id=''"));
  EXPECT_THAT(RequestMistake({"--source=x11"}), HasSubstr("give auto, test"));
  EXPECT_THAT(RequestMistake({"--source=pipewire:"}), HasSubstr("give auto"));
  EXPECT_THAT(RequestMistake({"--source=pipewire:node:x"}),
              HasSubstr("node's number"));
  EXPECT_THAT(RequestMistake({"--size=640x360"}), HasSubstr("--source=test"));
  EXPECT_THAT(RequestMistake({"--source=test", "--size=8x8"}),
              HasSubstr("source.test.width: 8 is out of range"));
  EXPECT_THAT(RequestMistake({"--fps=0"}), HasSubstr("fps_max: 0 is out"));
  EXPECT_THAT(RequestMistake({"--quality=50", "--bitrate=1000000"}),
              HasSubstr("exclude each other"));
  EXPECT_THAT(RequestMistake({"--profile=fast"}), HasSubstr("instant, studio"));
  EXPECT_THAT(RequestMistake({"--cursor=no"}), HasSubstr("embedded, metadata"));
  for (const char* bad : {"--crop=", "--crop=16x16", "--crop=16+0+0",
                          "--crop=16x16+0+0+0", "--crop=16x16+0+a"})
    EXPECT_THAT(RequestMistake({bad}), HasSubstr("800x600+100+50")) << bad;
  EXPECT_THAT(RequestMistake({"--crop=8x16+0+0"}), HasSubstr("crop.width: 8"));
  EXPECT_THAT(RequestMistake({"--labels=a"}), HasSubstr("key=value"));
  EXPECT_THAT(RequestMistake({"--labels=a=1,a=2"}), HasSubstr("twice"));
  EXPECT_THAT(RequestMistake({"--max_bytes=1"}), HasSubstr("max_bytes: 1 is"));
}

TEST(KinectlTexts, FiguresReadWell) {
  EXPECT_EQ(HumanBytes(0), "0 B");
  EXPECT_EQ(HumanBytes(1023), "1023 B");
  EXPECT_EQ(HumanBytes(1536), "1.5 KiB");
  EXPECT_EQ(HumanBytes(100ull << 20), "100.0 MiB");
  EXPECT_EQ(HumanDuration(0), "0:00.0");
  EXPECT_EQ(HumanDuration(65'432'100), "1:05.4");
  EXPECT_EQ(HumanDuration(3'723'000'000), "1:02:03.0");
}

TEST(KinectlTexts, AStateReplyIsReadAndShown) {
  const auto state = ParseState(
      R"({"id":"a","state":"ready","reason":"stopped","truncated":false,
          "frames":{"captured":150,"encoded":140,"lost_overload":2,
          "lost_in_source":1,"new_counter":9},"bytes":1048576,
          "media_us":5000000,"source":{"kind":"pipewire","name":"n\u001b",
          "width":1280,"height":720},"encoder":{"name":"x264"},
          "latency":{"encode":{"p50_us":1400,"p99_us":9200},"total":{"p50_us":300000,"p99_us":512345}},
          "artifact":{"index":"front","finalise_us":11300},"new":{}})");
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_TRUE(state->ended());
  EXPECT_TRUE(state->has_file());
  EXPECT_EQ(StateLine(*state), "ready 0:05.0  150 frames, 3 lost, 1.0 MiB");
  const std::string text = StateText(*state);
  EXPECT_THAT(text, HasSubstr("pipewire 'n"));
  EXPECT_THAT(text, Not(HasSubstr("\x1b"))) << "a name drives the terminal";
  EXPECT_THAT(text,
              HasSubstr("encode 1.4/9.2, write 0.0/0.0; on the disk after "
                        "300.0/512.3"));
  EXPECT_FALSE(ParseState("{\"bytes\":\"x\"}").ok());
}

TEST(KinectlTexts, OnlySomeStatesAreAnEnd) {
  for (const char* word : {"starting", "recording", "paused", "finalizing", ""})
    EXPECT_FALSE((RecordingState{.state = word}.ended())) << word;
  for (const char* word : {"ready", "interrupted", "failed", "deleted"})
    EXPECT_TRUE((RecordingState{.state = word}.ended())) << word;
  EXPECT_FALSE((RecordingState{.state = "failed"}.has_file()));
}

TEST(KinectlSession, ExitCodesTellTheDaemonFromTheRecording) {
  EXPECT_EQ(Session::CodeOf(absl::NotFoundError("no socket")), kUnreachable);
  EXPECT_EQ(Session::CodeOf(absl::UnavailableError("refused")), kUnreachable);
  EXPECT_EQ(Session::CodeOf(absl::CancelledError("")), kCancelled);
  EXPECT_EQ(Session::CodeOf(absl::DataLossError("no HTTP")), kFailed);
}

TEST(KinectlSession, AnIdIsCheckedBeforeItBecomesAPath) {
  EXPECT_EQ(*RecordingPath("a.b", "/stop"), "/v1/recordings/a.b/stop");
  for (const char* bad : {"", "..", "a/b", "a?b", "a b", "%2e"})
    EXPECT_FALSE(RecordingPath(bad).ok()) << bad;
}

}  // namespace
}  // namespace kinectl
