// A real headless sway desktop with a real terminal, through the real portal:
// the recording's last picture against a screenshot of the same desktop.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "tests/integration/daemon_rig.h"
#include "tests/integration/video_file.h"

namespace kine {
namespace {

constexpr char kInside[] = "KINE_INSIDE_SWAY_DESKTOP";
constexpr char kTerminal[] = "KINE_DESKTOP_TERMINAL";
constexpr int kWidth = 800;
constexpr int kHeight = 600;
// Measured: 48 dB for text that 4:2:0 and quantisation have passed, 22 dB
// against the same terminal without its text.
constexpr double kSameDecibels = 40;
constexpr double kOtherDecibels = 28;

struct Screenshot {
  int width = 0;
  int height = 0;
  std::string rgb;
};

// By grim, as a PPM.
Screenshot TakeScreenshot() {
  const ProgramResult grim = RunProgram({"grim", "-t", "ppm", "-"});
  EXPECT_EQ(grim.code, 0) << grim.err;
  std::istringstream head(grim.out.substr(0, 64));
  std::string magic;
  int maximum = 0;
  Screenshot shot;
  head >> magic >> shot.width >> shot.height >> maximum;
  EXPECT_EQ(magic, "P6");
  EXPECT_EQ(maximum, 255);
  shot.rgb = grim.out.substr(static_cast<size_t>(head.tellg()) + 1);
  return shot;
}

double PeakSignalToNoise(const std::string& a, const std::string& b) {
  EXPECT_EQ(a.size(), b.size());
  if (a.size() != b.size() || a.empty()) return 0;
  double squares = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const int difference =
        static_cast<uint8_t>(a[i]) - static_cast<uint8_t>(b[i]);
    squares += difference * difference;
  }
  if (squares == 0) return 100;
  return 10 *
         std::log10(255.0 * 255.0 * static_cast<double>(a.size()) / squares);
}

// Each test runs itself again inside of a desktop: the portal looks its callers
// up in /proc, so they must live in the desktop's namespace. The terminal shows
// what the test writes into a FIFO, and nothing else moves.
class DesktopTest : public testing::Test {
 protected:
  // True in the test that runs inside.
  bool Inside() {
    if (const char* fifo = std::getenv(kTerminal)) {
      terminal_ = UniqueFd(::open(fifo, O_RDWR | O_CLOEXEC));
      EXPECT_TRUE(terminal_.valid());
      DaemonRig::Options options;
      options.inherit_runtime_dir = true;
      rig_ = std::make_unique<DaemonRig>(std::move(options));
      return true;
    }
    for (const char* program : {"grim", "foot", "sway"})
      if (!HaveProgram(program))
        [&] { GTEST_SKIP() << "no " << program << " here"; }();
    if (IsSkipped()) return false;
    const RunDirectory directory;
    const std::string fifo = directory.File("terminal");
    EXPECT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    const ProgramResult result = RunProgram(
        {SourcePath("tests/desktop/sway_desktop"),
         absl::StrCat("--size=", kWidth, "x", kHeight),
         "--client=foot cat " + fifo, "--",
         std::filesystem::read_symlink("/proc/self/exe").string(),
         absl::StrCat("--gtest_filter=", info->test_suite_name(), ".",
                      info->name())},
        {{kInside, "1"}, {kTerminal, fifo}, {"KINE_TEST_COUNTS", "/dev/null"}},
        absl::Seconds(90));
    [&] {
      if (result.code == 77)
        GTEST_SKIP() << "the desktop is not installed: " << result.err;
      EXPECT_EQ(result.code, 0) << result.out << result.err;
    }();
    return false;
  }

  // Keeps writing until the recording has begun: the compositor casts a picture
  // when something changes, and when the cast listens is not told.
  void Show(const std::string& text) {
    EXPECT_EQ(::write(terminal_.get(), text.data(), text.size()),
              static_cast<ssize_t>(text.size()));
  }

  UniqueFd terminal_;
  std::unique_ptr<DaemonRig> rig_;
};

// What a compositor casts first is its next change.
void RecordAndCompare(DaemonRig& rig, const std::string& source,
                      const std::function<void(const std::string&)>& show) {
  const Screenshot before = TakeScreenshot();
  ASSERT_EQ(before.width, kWidth);
  rig.StartRecording("a", source);
  rig.WaitUntil("a", [&show](const Json& state) {
    show("The agent's terminal, in red: \033[31merror\033[0m, and plain.\r\n");
    return state.Text("state") == "recording";
  });
  for (int i = 0; i < 12; ++i)
    show(absl::StrCat("line ", i, " of the text that stays on the screen\r\n"));
  // Until the text is up, and the picture still and refined.
  rig.Elapse(absl::Milliseconds(1500));

  const Screenshot after = TakeScreenshot();
  const Json state = rig.StopRecording("a");

  ASSERT_EQ(state.Text("state"), "ready") << state.text();
  EXPECT_EQ(state.Text("source.kind"), "portal");
  EXPECT_EQ(state.Int("artifact.width"), kWidth);
  EXPECT_EQ(state.Int("artifact.height"), kHeight);
  const std::string file = rig.Fetch("a");
  EXPECT_GE(Decode(file).pictures.size(), 2u);
  const std::string last = LastPictureRgb(file);
  const double same = PeakSignalToNoise(last, after.rgb);
  const double other = PeakSignalToNoise(last, before.rgb);
  testing::Test::RecordProperty("decibels", absl::StrCat(same));
  std::fprintf(stderr, "last picture: %.1f dB, before the text: %.1f dB\n",
               same, other);
  EXPECT_GE(same, kSameDecibels);
  EXPECT_LE(other, kOtherDecibels);
}

TEST_F(DesktopTest, TheLastPictureIsWhatTheScreenShows) {
  if (!Inside()) return;
  RecordAndCompare(*rig_, "\"portal\"",
                   [this](const std::string& text) { Show(text); });
}

TEST_F(DesktopTest, AutoRecordsTheDesktopItRunsIn) {
  if (!Inside()) return;
  RecordAndCompare(*rig_, "\"auto\"",
                   [this](const std::string& text) { Show(text); });
}

// Whether a cast begins with a picture or with the next change is up to the
// compositor; either way the stop does not wait for one.
TEST_F(DesktopTest, ADesktopThatStandsStillIsStoppedAtOnce) {
  if (!Inside()) return;
  rig_->Elapse(absl::Seconds(1));  // The terminal has drawn itself.
  rig_->StartRecording("a", "\"portal\"");
  rig_->Elapse(absl::Milliseconds(700));

  const MonoTime asked_at = SystemClock().Now();
  const Json state = rig_->StopRecording("a");

  EXPECT_LE(SystemClock().Now() - asked_at, absl::Seconds(3));
  if (state.Int("frames.captured") == 0) {
    EXPECT_EQ(state.Text("state"), "failed") << state.text();
    EXPECT_EQ(state.Text("reason"), "no_frame");
    EXPECT_EQ(rig_->Call("GET", "/v1/recordings/a/artifact").status, 409);
  } else {
    EXPECT_EQ(state.Text("state"), "ready") << state.text();
    EXPECT_LE(state.Int("frames.encoded"), 3);
    EXPECT_GE(PeakSignalToNoise(LastPictureRgb(rig_->Fetch("a")),
                                TakeScreenshot().rgb),
              kSameDecibels);
  }
}

}  // namespace
}  // namespace kine
