// Encoding on a GPU through the whole daemon, on the driver of tests/softva:
// every sample of what comes out is what was drawn; and what becomes of a
// recording when the driver fails, for a moment or for good, or hangs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <ostream>

#include "absl/strings/str_cat.h"
#include "tests/fakes/sanitizer.h"
#include "tests/integration/event_stream.h"
#include "tests/integration/hardware_rig.h"
#include "tests/integration/video_file.h"

namespace kine {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kVaapi[] = ",\"encoder\":\"vaapi\"";

void WaitEncoded(DaemonRig& rig, const std::string& id, int64_t pictures) {
  rig.WaitUntil(id, [pictures](const Json& state) {
    return state.Int("frames.encoded") >= pictures;
  });
}

// A driver and what is recorded with it, all at once.
struct Case {
  const char* name;
  SoftVaSettings driver;
  struct Recording {
    int width;
    int height;
    double fps;
    const char* pattern;
    const char* more;
    int64_t pictures = 5;  // At least.
  };
  std::vector<Recording> recordings;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

// Where all is ten times slower, the driver would need longer for a picture of
// 4K than it is given before it counts as hung.
constexpr int k4kWidth = kThreadSanitizer ? 1280 : 3840;
constexpr int k4kHeight = kThreadSanitizer ? 720 : 2160;

class HardwareDriverTest : public testing::TestWithParam<Case> {};

TEST_P(HardwareDriverTest, EveryPictureIsWhatWasDrawn) {
  DaemonRig rig(WithSoftVa(GetParam().driver));
  const auto& recordings = GetParam().recordings;
  const auto id = [](size_t i) { return absl::StrCat("a", i); };
  for (size_t i = 0; i < recordings.size(); ++i) {
    const Case::Recording& r = recordings[i];
    rig.StartRecording(id(i), TestSource(r.width, r.height, r.fps, r.pattern),
                       absl::StrCat(kVaapi, r.more));
  }
  for (size_t i = 0; i < recordings.size(); ++i)
    WaitEncoded(rig, id(i), recordings[i].pictures);
  for (size_t i = 0; i < recordings.size(); ++i) {
    const Case::Recording& r = recordings[i];
    const Json state = rig.StopRecording(id(i));
    ASSERT_EQ(state.Text("state"), "ready") << state.text();
    EXPECT_EQ(state.Text("encoder.name"), "vaapi");
    EXPECT_THAT(state.Text("encoder.version"), HasSubstr("softva"));
    EXPECT_EQ(state.Size("fallbacks"), 0u) << state.text();
    EXPECT_EQ(state.Int("artifact.true_width"), r.width);
    EXPECT_EQ(state.Int("artifact.true_height"), r.height);
    const size_t pictures =
        ExpectPattern(rig.Fetch(id(i)), r.pattern, r.width, r.height);
    EXPECT_EQ(static_cast<int64_t>(pictures), state.Int("artifact.frames"));
  }
  EXPECT_EQ(Complaints(rig), "");
}

INSTANTIATE_TEST_SUITE_P(
    , HardwareDriverTest,
    testing::Values(
        Case{"OwnHeaders",
             {},
             {{321, 241, 30, "scroll", ""},
              {k4kWidth, k4kHeight, 5, "typing", ",\"profile\":\"studio\""}}},
        Case{"DriversHeadersLowPowerLatency",
             {{"PACKED", "0"},
              {"EP", "lp"},
              {"LATENCY_US", "15000"},
              {"SEGMENTS", "nal"}},
             {{323, 243, 30, "video", ""},
              {1920, 1080, 5, "typing", ",\"profile\":\"studio\""}}},
        Case{"SliceHeadersStrictNoDerive",
             {{"PACKED", "3"},
              {"EP", "both"},
              {"NEED_CODED_SIZE", "1"},
              {"NO_DERIVE", "1"},
              {"NO_SYNC_BUFFER", "1"}},
             {{1366, 769, 5, "typing", ""},
              // frame_num wraps at 256, before the second keyframe.
              {160, 120, 120, "typing", ",\"fps_max\":120", 300}}}),
    [](const testing::TestParamInfo<Case>& param) { return param.param.name; });

// The steps of the ladder that a recording went down, as "from > to".
std::vector<std::string> Steps(const Json& state) {
  std::vector<std::string> steps;
  for (size_t i = 0; i < state.Size("fallbacks"); ++i) {
    const std::string at = absl::StrCat("fallbacks.", i, ".");
    EXPECT_EQ(state.Text(at + "what"), "encoder");
    EXPECT_NE(state.Text(at + "reason"), "");
    steps.push_back(
        absl::StrCat(state.Text(at + "from"), " > ", state.Text(at + "to")));
  }
  return steps;
}

TEST(HardwareFailureTest, AResetGpuIsOpenedAnewInTheSameRecording) {
  DaemonRig rig(WithSoftVa({{"RESET", "BeginPicture:30"}, {"DISPLAYS", "1"}}));
  EventStream events(rig.socket());
  rig.StartRecording("a", TestSource(322, 242));
  for (int i = 0; i < 2; ++i)
    ASSERT_TRUE(events.NextOfType("recording.fallback", "a"));
  const int64_t before = rig.State("a").Int("frames.encoded");
  WaitEncoded(rig, "a", before + 10);

  const Json state = rig.StopRecording("a");

  ASSERT_EQ(state.Text("state"), "ready") << state.text();
  EXPECT_THAT(Steps(state), testing::ElementsAre("vaapi > vaapi, keyframe",
                                                 "vaapi > vaapi, opened anew"));
  EXPECT_EQ(state.Text("encoder.name"), "vaapi");
  const std::string file = rig.Fetch("a");
  EXPECT_GT(ExpectPattern(file, "scroll", 322, 242), 15u);
  // The picture that failed came all the same.
  MissingPictures(Decode(file), state);
  EXPECT_EQ(Complaints(rig), "");
}

TEST(HardwareFailureTest, AGpuThatIsGoneIsFollowedBySoftware) {
  // Each display that is opened works for a few pictures.
  DaemonRig rig(WithSoftVa({{"FAULT", "BeginPicture:16+=1"}}));
  EventStream events(rig.socket());
  rig.StartRecording("a", TestSource(322, 242));
  const auto told = events.Next([](const EventStream::Event& event) {
    return event.Is("recording.fallback", "a") &&
           event.body.Text("data.to") == "software";
  });
  ASSERT_TRUE(told.has_value());
  EXPECT_EQ(told->body.Text("data.from"), "vaapi");
  EXPECT_NE(told->body.Text("data.reason"), "");
  const int64_t before = rig.State("a").Int("frames.encoded");
  WaitEncoded(rig, "a", before + 10);

  const Json state = rig.StopRecording("a");

  ASSERT_EQ(state.Text("state"), "ready") << state.text();
  EXPECT_EQ(state.Text("encoder.name"), "x264");
  const std::string keyframe = "vaapi > vaapi, keyframe";
  const std::string anew = "vaapi > vaapi, opened anew";
  EXPECT_THAT(Steps(state),
              testing::ElementsAre(keyframe, anew, keyframe, anew, keyframe,
                                   anew, keyframe, "vaapi > software"));
  const VideoFile video = Decode(rig.Fetch("a"));
  EXPECT_GT(video.pictures.size(), 15u);
  MissingPictures(video, state);
}

TEST(HardwareFailureTest, AGpuThatCannotBeOpenedAgainIsFollowedBySoftware) {
  RunDirectory bus;
  const std::string node = bus.File("renderD128");
  std::filesystem::create_symlink("/dev/null", node);
  DaemonRig::Options options = WithSoftVa({{"RESET", "BeginPicture:30"}});
  // The first of a name counts.
  options.env.insert(options.env.begin(), {"KINESCOPE_RENDER_NODE", node});
  DaemonRig rig(std::move(options));
  EventStream events(rig.socket());
  rig.StartRecording("a", TestSource(322, 242));
  EXPECT_EQ(rig.WaitFor("a", "first_frame").Text("encoder.name"), "vaapi");

  std::filesystem::remove(node);  // The device is unplugged.

  const auto told = events.Next([](const EventStream::Event& event) {
    return event.Is("recording.fallback", "a") &&
           event.body.Text("data.to") == "x264";
  });
  ASSERT_TRUE(told.has_value());
  const std::string reason = told->body.Text("data.reason");
  EXPECT_THAT(reason, AllOf(HasSubstr(node), HasSubstr("No such file")));
  // More than two displays do, if the first was faster than the plug.
  WaitEncoded(rig, "a", 50);
  const Json state = rig.StopRecording("a");

  ASSERT_EQ(state.Text("state"), "ready") << state.text();
  EXPECT_EQ(state.Text("encoder.name"), "x264");
  const std::vector<std::string> steps = Steps(state);
  ASSERT_FALSE(steps.empty());
  EXPECT_EQ(steps.back(), "vaapi > x264");
  const std::string file = rig.Fetch("a");
  const VideoFile video = Decode(file);
  MissingPictures(video, state);
  // What the GPU encoded before it went is all there, and as it was drawn.
  const size_t exact = ExactPictures(file, "scroll", 322, 242);
  EXPECT_GE(exact, 15u);
  EXPECT_GT(video.pictures.size(), exact);
  EXPECT_EQ(Complaints(rig), "");
}

// What limits::kEncodeSilentMs is for: the test takes as long.
TEST(HardwareFailureTest, AHungDriverCostsItsRecordersAndThenTheTrust) {
  DaemonRig rig(WithSoftVa({{"HANG", "50"}, {"HANG_HARD", "1"}}));
  EventStream events(rig.socket());
  // Two sources: those of one share a recorder, and one death.
  const std::pair<const char*, int> hung[] = {{"a", 322}, {"b", 330}};
  for (const auto& [id, width] : hung)
    rig.StartRecording(id, TestSource(width, 242));
  for (const auto& [id, width] : hung) {
    const Json state = rig.WaitFor(id, "ready");
    ASSERT_EQ(state.Text("state"), "interrupted") << state.text();
    EXPECT_EQ(state.Text("reason"), "recorder_died");
    EXPECT_THAT(state.Text("message"), HasSubstr("driver hung"));
    EXPECT_TRUE(state.Bool("truncated"));
    // Nobody knows what the screen showed while the driver hung.
    EXPECT_LT(state.Int("artifact.duration_us"), 5'000'000);
    EXPECT_EQ(static_cast<int64_t>(
                  ExpectPattern(rig.Fetch(id), "scroll", width, 242)),
              state.Int("artifact.frames"));
  }
  EXPECT_THAT(rig.Log(), HasSubstr("a driver hangs"));

  rig.StartRecording("c", TestSource(322, 242));
  WaitEncoded(rig, "c", 10);
  const Json state = rig.StopRecording("c");
  ASSERT_EQ(state.Text("state"), "ready") << state.text();
  EXPECT_EQ(state.Text("encoder.name"), "x264");
  ASSERT_EQ(state.Size("fallbacks"), 1u) << state.text();
  EXPECT_THAT(state.Text("fallbacks.0.reason"),
              HasSubstr("hung or crashed 2 recorders in a row"));
}

}  // namespace
}  // namespace kine
