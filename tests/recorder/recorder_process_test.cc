// The real kinescope-recorder on real input: the test pattern, a real link and
// a real disk.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <variant>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/base/limits.h"
#include "tests/recorder/real_recorder.h"

namespace kine {
namespace {

using link::EndReason;
using link::Finished;

link::Start MakeStart(TestRequest::Pattern pattern) {
  link::Start start;
  start.id = "a";
  TestRequest source;
  source.width = 320;
  source.height = 240;
  source.pattern = pattern;
  start.settings.source = source;
  return start;
}

// Frames that ffmpeg decodes without a complaint, or -1.
int DecodedFrames(const std::string& path) {
  const Output output = RunProgram(
      {"ffprobe", "-v", "error", "-count_frames", "-select_streams", "v:0",
       "-show_entries", "stream=nb_read_frames", "-of", "csv=p=0", path});
  int frames = -1;
  std::string text = output.text.substr(0, output.text.find_first_of(",\n"));
  return output.status == 0 && absl::SimpleAtoi(text, &frames) ? frames : -1;
}

uint64_t FileBytes(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? static_cast<uint64_t>(info.st_size)
                                          : 0;
}

std::optional<Finished> RunFinalise(const TestDirectory& directory) {
  const UniqueFd fd = directory.Open();
  const Output output =
      RunProgram({RecorderPath(), "--finalise", "--id=a"}, fd.get());
  if (output.status != 0) return std::nullopt;
  const auto message = link::ParseToDaemon(output.text);
  if (!message.ok()) return std::nullopt;
  const auto* finished = std::get_if<Finished>(&*message);
  return finished == nullptr ? std::nullopt : std::optional(*finished);
}

// Until so many fragments (or more) were seen to be durable.
bool WaitDurable(RealRecorder& recorder, uint64_t fragments) {
  uint64_t last = 0;
  uint64_t seen = 0;
  while (seen < fragments) {
    const auto progress = recorder.Wait<link::Progress>();
    if (!progress.has_value()) return false;
    for (const link::RecordingProgress& r : progress->recordings) {
      if (r.counters.durable_bytes > last) ++seen;
      last = r.counters.durable_bytes;
    }
  }
  return true;
}

class FileIoTest : public testing::TestWithParam<std::string> {};

TEST_P(FileIoTest, RecordsAndFinishesAFileThatPlays) {
  TestDirectory directory;
  RealRecorder recorder({absl::StrCat("--file_io=", GetParam())});
  const auto hello = recorder.Wait<link::Hello>();
  ASSERT_TRUE(hello.has_value());
  EXPECT_EQ(hello->pid, recorder.pid());

  recorder.Send(MakeStart(TestRequest::Pattern::kScroll), directory.Open());
  ASSERT_TRUE(recorder.Wait<link::FirstFrame>().has_value());
  ASSERT_TRUE(WaitDurable(recorder, 2));
  recorder.Send(link::Stop{"a", EndReason::kStopped});
  const auto finished = recorder.Wait<Finished>();

  ASSERT_TRUE(finished.has_value());
  EXPECT_EQ(finished->state, Finished::State::kReady) << finished->message;
  EXPECT_EQ(finished->reason, EndReason::kStopped);
  EXPECT_FALSE(finished->truncated);
  EXPECT_EQ(finished->finalise.index, Finished::Index::kFront);
  EXPECT_EQ(finished->bytes, FileBytes(directory.video()));
  EXPECT_EQ(finished->width, 320);
  EXPECT_GT(finished->frames, 10u);
  EXPECT_EQ(DecodedFrames(directory.video()),
            static_cast<int>(finished->frames));
  const link::Counters& c = finished->counters;
  EXPECT_EQ(c.encoded + c.skipped_undamaged + c.lost_overload, c.captured);
  recorder.CloseLink();
  EXPECT_EQ(recorder.Join(), 0);
}

INSTANTIATE_TEST_SUITE_P(Recorder, FileIoTest,
                         testing::Values("thread", "uring"));

TEST(RecorderProcessTest, AStillScreenLastsUntilTheStop) {
  TestDirectory directory;
  RealRecorder recorder;
  recorder.Send(MakeStart(TestRequest::Pattern::kStill), directory.Open());
  ASSERT_TRUE(recorder.Wait<link::FirstFrame>().has_value());
  const absl::Time start = absl::Now();
  for (int i = 0; i < 4; ++i)
    ASSERT_TRUE(recorder.Wait<link::Progress>().has_value());
  recorder.Send(link::Stop{"a", EndReason::kStopped});
  const int64_t elapsed_us = absl::ToInt64Microseconds(absl::Now() - start);
  const auto finished = recorder.Wait<Finished>();

  ASSERT_TRUE(finished.has_value());
  EXPECT_EQ(finished->state, Finished::State::kReady);
  EXPECT_GE(finished->duration_us, elapsed_us - 50'000);
  EXPECT_LE(finished->duration_us, elapsed_us + 1'000'000);
  // The picture and its refinement, however long it stood.
  EXPECT_LE(finished->frames, 2u);
}

// One encoder for all three, who come and go at different times.
TEST(RecorderProcessTest, TwoRecordingsAndAReplayOfOneSourceAllPlay) {
  TestDirectory first, second, third, fourth;
  RealRecorder recorder;
  link::Start start = MakeStart(TestRequest::Pattern::kScroll);
  recorder.Send(link::KeepReplay{"ring", start.settings, "", 60'000, 8 << 20});
  std::optional<link::ReplayKept> kept;
  do {
    kept = recorder.Wait<link::ReplayKept>();
    ASSERT_TRUE(kept.has_value());
  } while (kept->packets < 8);
  recorder.Send(start, first.Open());
  ASSERT_TRUE(recorder.Wait<link::FirstFrame>().has_value());
  start.id = "b";
  recorder.Send(start, second.Open());
  ASSERT_TRUE(recorder.Wait<link::FirstFrame>().has_value());
  recorder.Send(link::Stop{"a", EndReason::kStopped});
  recorder.Send(link::SaveReplay{"c", "ring", start.settings, 60'000},
                third.Open());
  std::vector<Finished> finished;
  for (int i = 0; i < 2; ++i) {
    finished.push_back(recorder.Wait<Finished>().value_or(Finished()));
  }
  recorder.Send(link::Stop{"ring", EndReason::kStopped});
  recorder.Send(link::SaveReplay{"d", "ring", start.settings, 60'000},
                fourth.Open());
  const auto none = recorder.Wait<Finished>();
  ASSERT_TRUE(none.has_value());
  EXPECT_EQ(none->state, Finished::State::kFailed);
  EXPECT_EQ(none->reason, EndReason::kNoFrame);
  recorder.Send(link::Stop{"b", EndReason::kStopped});
  finished.push_back(recorder.Wait<Finished>().value_or(Finished()));

  for (const Finished& each : finished) {
    const TestDirectory& directory = each.id == "a"   ? first
                                     : each.id == "b" ? second
                                                      : third;
    EXPECT_EQ(each.state, Finished::State::kReady) << each.message;
    EXPECT_FALSE(each.truncated);
    EXPECT_GT(each.frames, 0u);
    EXPECT_EQ(DecodedFrames(directory.video()), static_cast<int>(each.frames))
        << each.id;
    EXPECT_GE(each.duration_us, each.id == "c" ? kept->media_us : 0);
  }
  recorder.CloseLink();
  EXPECT_EQ(recorder.Join(), 0);
}

struct Shot {
  link::ShotTaken taken;
  std::string png;
  absl::Duration took;
};

Shot TakeShot(RealRecorder& recorder, const RecordingSettings& settings,
              int width, int height) {
  const UniqueFd memory(::memfd_create("shot", MFD_CLOEXEC));
  link::Shot message;
  message.id = "7";
  message.settings = settings;
  message.width = width;
  message.height = height;
  const absl::Time start = absl::Now();
  recorder.Send(message, UniqueFd(::dup(memory.get())));
  Shot shot;
  shot.taken = recorder.Wait<link::ShotTaken>().value_or(link::ShotTaken());
  shot.took = absl::Now() - start;
  shot.png.resize(shot.taken.bytes);
  EXPECT_EQ(::pread(memory.get(), shot.png.data(), shot.png.size(), 0),
            static_cast<ssize_t>(shot.png.size()));
  return shot;
}

// Width and height, as the PNG itself says.
std::pair<int, int> SizeOf(const std::string& png) {
  const auto at = [&](size_t offset) {
    int value = 0;
    for (size_t i = offset; i < offset + 4; ++i)
      value = value << 8 | static_cast<uint8_t>(png.at(i));
    return value;
  };
  return {at(16), at(20)};
}

TEST(RecorderProcessTest, APictureOfWhatIsCapturedTakesNoSecondCapture) {
  TestDirectory directory;
  RealRecorder recorder;
  link::Start start = MakeStart(TestRequest::Pattern::kStill);
  recorder.Send(start, directory.Open());
  ASSERT_TRUE(recorder.Wait<link::FirstFrame>().has_value());

  const Shot whole = TakeShot(recorder, start.settings, 0, 0);
  EXPECT_EQ(whole.taken.id, "7");
  EXPECT_EQ(whole.taken.error, "");
  ASSERT_GT(whole.png.size(), 24u);
  EXPECT_EQ(SizeOf(whole.png), std::pair(320, 240));
  EXPECT_EQ(whole.taken.width, 320);
  EXPECT_EQ(whole.taken.height, 240);
  const Shot small = TakeShot(recorder, start.settings, 80, 0);
  ASSERT_GT(small.png.size(), 24u);
  EXPECT_EQ(SizeOf(small.png), std::pair(80, 60));
  // The screen stands still: the same picture, to the last bit.
  EXPECT_TRUE(TakeShot(recorder, start.settings, 0, 0).png == whole.png);

  start.settings.source = TestRequest();
  EXPECT_EQ(TakeShot(recorder, start.settings, 0, 0).taken.error,
            "this source is not captured here");
  recorder.CloseLink();
  EXPECT_EQ(recorder.Join(), 0);
}

TEST(RecorderProcessTest, MaxDurationEndsItWithoutAStop) {
  TestDirectory directory;
  RealRecorder recorder;
  link::Start start = MakeStart(TestRequest::Pattern::kScroll);
  start.settings.max_duration_ms = 700;
  recorder.Send(start, directory.Open());
  const auto finished = recorder.Wait<Finished>();

  ASSERT_TRUE(finished.has_value());
  EXPECT_EQ(finished->reason, EndReason::kMaxDuration);
  EXPECT_TRUE(finished->truncated);
  EXPECT_GE(finished->duration_us, 699'000);
  EXPECT_GT(DecodedFrames(directory.video()), 0);
}

TEST(RecorderProcessTest, KilledAtAnyTimeItLeavesWhatWasDurable) {
  std::mt19937 random(std::random_device{}());
  const char* more = std::getenv("KINE_KILL_RUNS");
  int runs = 0;
  if (more == nullptr || !absl::SimpleAtoi(more, &runs)) runs = 5;
  for (int run = 0; run < runs; ++run) {
    TestDirectory directory;
    RealRecorder recorder;
    recorder.Send(MakeStart(TestRequest::Pattern::kScroll), directory.Open());
    const auto first = recorder.Wait<link::FirstFrame>();
    ASSERT_TRUE(first.has_value());
    ASSERT_TRUE(WaitDurable(recorder, 1 + random() % 3));
    absl::SleepFor(absl::Milliseconds(random() % 500));
    const int64_t killed_us =
        absl::GetCurrentTimeNanos() / 1000 - first->wall_us;
    recorder.Signal(SIGKILL);
    recorder.Join();
    const int growing = DecodedFrames(directory.video());

    const auto finished = RunFinalise(directory);

    ASSERT_TRUE(finished.has_value());
    EXPECT_EQ(finished->state, Finished::State::kReady) << finished->message;
    EXPECT_GT(growing, 0);
    EXPECT_EQ(DecodedFrames(directory.video()), growing);
    EXPECT_EQ(finished->frames, static_cast<uint64_t>(growing));
    RecordProperty(absl::StrCat("lost_ms_", run),
                   absl::StrCat((killed_us - finished->duration_us) / 1000));
    // Half a second, and how long this machine takes for a write.
    EXPECT_LT(killed_us - finished->duration_us, 1'500'000);
    // Finishing a finished file changes nothing.
    const auto again = RunFinalise(directory);
    ASSERT_TRUE(again.has_value());
    EXPECT_EQ(again->frames, finished->frames);
    EXPECT_EQ(again->bytes, finished->bytes);
  }
}

TEST(RecorderProcessTest, AClosedLinkEndsItWithinASecondAndLosesNothing) {
  TestDirectory directory;
  RealRecorder recorder;
  recorder.Send(MakeStart(TestRequest::Pattern::kScroll), directory.Open());
  ASSERT_TRUE(WaitDurable(recorder, 1));
  recorder.CloseLink();
  const int status = recorder.Join(absl::Milliseconds(limits::kRecorderExitMs));

  ASSERT_NE(status, -1) << "still there";
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  const int growing = DecodedFrames(directory.video());
  EXPECT_GT(growing, 0);
  const auto finished = RunFinalise(directory);
  ASSERT_TRUE(finished.has_value());
  EXPECT_EQ(finished->frames, static_cast<uint64_t>(growing));
}

TEST(RecorderProcessTest, TermEndsItLikeAClosedLink) {
  TestDirectory directory;
  RealRecorder recorder;
  recorder.Send(MakeStart(TestRequest::Pattern::kScroll), directory.Open());
  ASSERT_TRUE(WaitDurable(recorder, 1));
  recorder.Signal(SIGTERM);
  const int status = recorder.Join(absl::Milliseconds(limits::kRecorderExitMs));

  ASSERT_NE(status, -1) << "still there";
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_TRUE(RunFinalise(directory).has_value());
}

TEST(RecorderProcessTest, ASecondRecordingInTheSameDirectoryIsRefused) {
  TestDirectory directory;
  RealRecorder recorder;
  recorder.Send(MakeStart(TestRequest::Pattern::kScroll), directory.Open());
  ASSERT_TRUE(recorder.Wait<link::FirstFrame>().has_value());
  link::Start second = MakeStart(TestRequest::Pattern::kScroll);
  second.id = "b";
  recorder.Send(second, directory.Open());
  const auto refused = recorder.Wait<Finished>();

  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused->id, "b");
  EXPECT_EQ(refused->state, Finished::State::kFailed);
  recorder.Send(link::Stop{"a", EndReason::kStopped});
  const auto finished = recorder.Wait<Finished>();
  ASSERT_TRUE(finished.has_value());
  EXPECT_EQ(finished->id, "a");
  EXPECT_EQ(finished->state, Finished::State::kReady);
}

TEST(RecorderProcessTest, AMessageThatDoesNotParseEndsIt) {
  RealRecorder recorder;
  ASSERT_TRUE(recorder.Wait<link::Hello>().has_value());
  link::Start no_directory = MakeStart(TestRequest::Pattern::kScroll);
  recorder.Send(no_directory);
  const auto refused = recorder.Wait<Finished>();
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused->state, Finished::State::kFailed);
  recorder.SendText("{\"type\":\"dance\"}");

  EXPECT_NE(recorder.Join(absl::Milliseconds(limits::kRecorderExitMs)), -1);
}

TEST(RecorderProcessTest, FinaliseSaysThatThereIsNothing) {
  TestDirectory directory;
  const auto finished = RunFinalise(directory);

  ASSERT_TRUE(finished.has_value());
  EXPECT_EQ(finished->state, Finished::State::kFailed);
  EXPECT_EQ(finished->reason, EndReason::kNoFrame);
}

TEST(RecorderProcessTest, FinaliseEndsAWriterThatHangs) {
  TestDirectory directory;
  RealRecorder recorder;
  recorder.Send(MakeStart(TestRequest::Pattern::kScroll), directory.Open());
  ASSERT_TRUE(WaitDurable(recorder, 1));
  recorder.Signal(SIGSTOP);

  const auto finished = RunFinalise(directory);

  ASSERT_TRUE(finished.has_value());
  EXPECT_EQ(finished->state, Finished::State::kReady) << finished->message;
  const int status = recorder.Join(absl::Seconds(1));
  EXPECT_TRUE(status != -1 && WIFSIGNALED(status));
}

TEST(RecorderProcessTest, SaysWhatItCanDoAndCapture) {
  const Output describe = RunProgram({RecorderPath(), "--describe"});
  const auto message = link::ParseToDaemon(describe.text);
  const Output sources = RunProgram({RecorderPath(), "--list_sources"});

  EXPECT_EQ(describe.status, 0);
  ASSERT_TRUE(message.ok()) << message.status();
  EXPECT_TRUE(std::holds_alternative<link::Hello>(*message));
  EXPECT_EQ(sources.status, 0);
  EXPECT_NE(sources.text.find("\"kind\":\"test\""), std::string::npos)
      << sources.text;
}

}  // namespace
}  // namespace kine
