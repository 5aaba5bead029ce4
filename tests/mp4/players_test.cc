// Growing, finished, recovered and damaged recordings in real players: ffprobe,
// ffmpeg, GStreamer's qtdemux and Chromium.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

#include "encode/mp4/finalise.h"
#include "encode/mp4/fragment_writer.h"
#include "encode/mp4/movie_reader.h"
#include "encode/mp4/scanner.h"
#include "encode/mp4/view.h"
#include "tests/mp4/real_video.h"
#include "tests/mp4/test_recording.h"

namespace kine::mp4 {
namespace {

constexpr int kWidth = 320;
constexpr int kHeight = 192;
constexpr int kOtherWidth = 256;
constexpr int kOtherHeight = 208;
constexpr int kPictures = 36;
constexpr uint64_t kFragmentTicks = 45'000;

// A recording of real pictures and where its fragments lie.
struct RealRecording {
  ByteVector bytes;
  std::vector<Sample> samples;
  std::vector<uint64_t> fragment_offsets;
  std::vector<size_t> samples_before;
  FileMap map;
  uint64_t until = 0;

  std::vector<int> Numbers(size_t count) const {
    std::vector<int> numbers(count);
    std::iota(numbers.begin(), numbers.end(), 0);
    return numbers;
  }
};

// About ten pictures a second with jitter, and a still screen of 2 s after
// every twelfth.
RealRecording Record(std::vector<Sample> samples, uint64_t reserve_bytes) {
  uint64_t time = 0;
  for (size_t i = 0; i < samples.size(); ++i) {
    samples[i].time = time;
    samples[i].priority = Priority(static_cast<uint32_t>(i * 7), i % 2 == 0);
    time += 9000 + i * 37 % 500 + (i % 12 == 11 ? 180'000 : 0);
  }
  RealRecording recording;
  recording.samples = samples;
  recording.until = time + 90'000;

  InitOptions options;
  options.width = kWidth;
  options.height = kHeight;
  options.keyframe = *samples.front().data;
  options.reserve_bytes = reserve_bytes;
  const auto init = BuildInitSegment(options);
  EXPECT_TRUE(init.ok()) << init.status();
  AppendInit(*init, recording.bytes);
  FragmentWriter writer(init->header, 1u << 20);
  const auto close = [&](uint64_t until) {
    const Fragment fragment = writer.Close(until);
    EXPECT_EQ(fragment.offset, recording.bytes.size());
    recording.fragment_offsets.push_back(fragment.offset);
    recording.samples_before.push_back(
        static_cast<size_t>(writer.samples_added()) - fragment.samples);
    recording.bytes.insert(recording.bytes.end(), fragment.bytes.begin(),
                           fragment.bytes.end());
  };
  for (Sample& sample : samples) {
    if (!writer.empty() && sample.time >= writer.open_since() + kFragmentTicks)
      close(writer.open_since() + kFragmentTicks);
    writer.Add(std::move(sample));
  }
  close(recording.until);
  recording.map = std::move(writer).TakeFile();
  return recording;
}

MemoryFile Finished(const RealRecording& recording) {
  const auto plan = PlanFinalise(recording.map, recording.until);
  EXPECT_TRUE(plan.ok());
  MemoryFile file(recording.bytes);
  EXPECT_TRUE(RunPlan(*plan, file).ok());
  return file;
}

class PlayersTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    for (const char* command :
         {"ffmpeg", "ffprobe", "gst-launch-1.0", "chromium", "timeout"}) {
      if (!HaveCommand(command)) missing_ = command;
    }
    if (!missing_.empty()) return;
    const TempDir dir;
    pictures_ = new std::vector<Sample>(
        EncodePictures(kWidth, kHeight, 0, kPictures, dir));
    // The same with another size in the middle.
    resized_ = new std::vector<Sample>;
    for (int part = 0; part < 3; ++part) {
      auto some = EncodePictures(part == 1 ? kOtherWidth : kWidth,
                                 part == 1 ? kOtherHeight : kHeight, part * 12,
                                 12, dir);
      std::move(some.begin(), some.end(), std::back_inserter(*resized_));
    }
  }
  static void TearDownTestSuite() {
    delete pictures_;
    delete resized_;
  }
  void SetUp() override {
    if (!missing_.empty()) GTEST_SKIP() << "no " << missing_ << " here";
    ASSERT_EQ(pictures_->size(), size_t{kPictures}) << "ffmpeg has no libx264?";
    ASSERT_EQ(resized_->size(), size_t{kPictures});
  }

  // Plays `file` through ffprobe, ffmpeg -xerror and qtdemux.
  void ExpectPlays(const std::string& file, const RealRecording& recording) {
    const std::vector<int> all = recording.Numbers(recording.samples.size());
    const Probe probe = ProbeFile(file, dir_);
    EXPECT_EQ(probe.complaints, "");
    std::vector<int64_t> times;
    for (const Sample& sample : recording.samples)
      times.push_back(static_cast<int64_t>(sample.time));
    EXPECT_EQ(probe.times, times);
    EXPECT_NEAR(probe.duration, static_cast<double>(recording.until) / 90'000,
                0.001);
    EXPECT_EQ(PlayFfmpeg(file, true, dir_), all);
    EXPECT_EQ(PlayGstreamer(file, dir_), all);
  }

  // Seconds in the middle of every second picture of the first `count`, and of
  // the last.
  static WebCase AskFor(const std::string& file, const RealRecording& recording,
                        size_t count, std::vector<int>& expected) {
    WebCase web{file, {}};
    expected.clear();
    for (size_t i = 0; i < count; ++i) {
      if (i % 2 != 0 && i + 1 != count) continue;
      const uint64_t time = recording.samples[i].time + 4500;
      web.seconds.push_back(static_cast<double>(time) / 90'000);
      expected.push_back(static_cast<int>(i));
    }
    return web;
  }

  static inline std::string missing_;
  static inline std::vector<Sample>* pictures_ = nullptr;
  static inline std::vector<Sample>* resized_ = nullptr;
  TempDir dir_;
};

TEST_F(PlayersTest, GrowingAndFinishedFilesPlayAtEveryStepOfTheFinaliser) {
  for (const uint64_t reserve : {4096u, 1024u}) {
    SCOPED_TRACE(reserve);
    const RealRecording recording = Record(*pictures_, reserve);
    const auto plan = PlanFinalise(recording.map, recording.until);
    ASSERT_TRUE(plan.ok());
    ASSERT_EQ(plan->index_in_front, reserve == 4096);
    MemoryFile file(recording.bytes);
    {
      SCOPED_TRACE("growing");
      ExpectPlays(dir_.Write("growing.mp4", file.bytes), recording);
    }
    for (size_t i = 0; i < plan->steps.size(); ++i) {
      const FinaliseStep& step = plan->steps[i];
      if (step.kind != FinaliseStep::Kind::kWrite) continue;
      SCOPED_TRACE(testing::Message() << "after step " << i);
      ASSERT_TRUE(file.WriteAt(step.offset, step.data).ok());
      ExpectPlays(dir_.Write("step.mp4", file.bytes), recording);
    }
  }
}

TEST_F(PlayersTest, ACutFilePlaysAllWholeFragmentsAndRecoversToThem) {
  const RealRecording recording = Record(*pictures_, 4096);
  const size_t last = recording.fragment_offsets.size() - 1;
  const size_t begin = recording.fragment_offsets[last];
  const size_t end = recording.bytes.size();
  const size_t whole = recording.samples_before[last];
  // Not within the payload of tfhd or trun: ffmpeg 5.1 refuses such a file
  // ("error reading header"), whoever wrote it. Recovery is what helps there.
  for (const size_t cut :
       {begin, begin + 1, begin + 4, begin + 8, begin + 60, begin + 121,
        begin + 160, (begin + end) / 2, end - 1}) {
    SCOPED_TRACE(cut - begin);
    MemoryFile file(recording.bytes);
    file.bytes.resize(cut);
    const std::string path = dir_.Write("cut.mp4", file.bytes);
    for (const Numbers& numbers :
         {PlayFfmpeg(path, false, dir_), PlayGstreamer(path, dir_)}) {
      // A player may show samples of the torn fragment, and garbage for the
      // one that is cut in two.
      ASSERT_TRUE(numbers.has_value());
      ASSERT_GE(numbers->size(), whole);
      EXPECT_TRUE(std::equal(numbers->begin(),
                             numbers->begin() + static_cast<int>(whole),
                             recording.Numbers(whole).begin()));
    }
    EXPECT_EQ(Recover(file, recording.samples[whole - 1].time + 9000), whole);
    EXPECT_EQ(PlayFfmpeg(dir_.Write("recovered.mp4", file.bytes), true, dir_),
              recording.Numbers(whole));
  }
}

TEST_F(PlayersTest, ASizeChangePlaysThrough) {
  const RealRecording recording = Record(*resized_, 4096);
  ExpectPlays(dir_.Write("growing.mp4", recording.bytes), recording);
  ExpectPlays(dir_.Write("finished.mp4", Finished(recording).bytes), recording);
}

TEST_F(PlayersTest, EitherViewOfEitherFilePlays) {
  const CompactRule rule{9000, 5};
  for (const uint64_t reserve : {4096u, 1024u}) {
    SCOPED_TRACE(reserve);
    const RealRecording recording = Record(*pictures_, reserve);
    MemoryFile own = Finished(recording);
    const auto movie = ReadMovie(own, 1u << 20);
    ASSERT_TRUE(movie.ok());
    const TimedSamples compact =
        Compact(movie->index, movie->last_duration, kWidth, kHeight, rule);
    const auto head = BuildViewHead(own, *movie, compact);
    ASSERT_TRUE(head.ok()) << head.status();
    ByteVector view = head->head;
    const auto media =
        own.bytes.begin() + static_cast<std::ptrdiff_t>(head->media_offset);
    view.insert(view.end(), media,
                media + static_cast<std::ptrdiff_t>(head->media_bytes));

    RealRecording expected;
    expected.samples = recording.samples;
    const std::vector<IndexedSample> samples = SamplesOf(compact.index);
    for (size_t i = 0; i < samples.size(); ++i)
      expected.samples[i].time = samples[i].time;
    expected.until = compact.duration();
    ASSERT_LT(expected.until, recording.until);
    ExpectPlays(dir_.Write("compact.mp4", view), expected);

    // The file that is compact itself.
    const auto plan = PlanFinalise(recording.map, recording.until, rule);
    ASSERT_TRUE(plan.ok());
    MemoryFile file(recording.bytes);
    ASSERT_TRUE(RunPlan(*plan, file).ok());
    ExpectPlays(dir_.Write("own.mp4", file.bytes), expected);
  }
}

TEST_F(PlayersTest, ChromiumPlaysAllOfThem) {
  const RealRecording front = Record(*pictures_, 4096);
  const RealRecording resized = Record(*resized_, 4096);
  const size_t last = front.fragment_offsets.size() - 1;
  const size_t begin = front.fragment_offsets[last];
  std::vector<WebCase> cases;
  std::vector<std::vector<int>> expected;
  const auto add = [&](const char* name, const ByteVector& bytes,
                       const RealRecording& recording, size_t count) {
    expected.emplace_back();
    dir_.Write(name, bytes);
    cases.push_back(AskFor(name, recording, count, expected.back()));
  };
  add("growing.mp4", front.bytes, front, kPictures);
  add("front.mp4", Finished(front).bytes, front, kPictures);
  add("growing-resized.mp4", resized.bytes, resized, kPictures);
  add("resized.mp4", Finished(resized).bytes, resized, kPictures);

  // The index at the end, before and after the commit.
  const RealRecording small = Record(*pictures_, 1024);
  const auto plan = PlanFinalise(small.map, small.until);
  ASSERT_TRUE(plan.ok());
  ASSERT_FALSE(plan->index_in_front);
  MemoryFile uncommitted(small.bytes);
  uncommitted.operations_left = static_cast<int>(plan->steps.size()) - 2;
  ASSERT_FALSE(RunPlan(*plan, uncommitted).ok());
  add("uncommitted.mp4", uncommitted.bytes, small, kPictures);
  add("end.mp4", Finished(small).bytes, small, kPictures);

  // Cut in the last fragment, and recovered from there.
  const size_t whole = front.samples_before[last];
  for (const size_t behind : {0u, 8u, 121u, 140u, 300u}) {
    MemoryFile cut(front.bytes);
    cut.bytes.resize(begin + behind);
    // A sample that is cut in two stops Chromium, which decodes a few pictures
    // ahead of the one it shows.
    const size_t shown =
        behind < MoofBytes(front.samples.size() - whole) ? whole : whole - 4;
    add(("cut" + std::to_string(behind) + ".mp4").c_str(), cut.bytes, front,
        shown);
    ASSERT_EQ(Recover(cut, front.samples[whole - 1].time + 9000), whole);
    add(("recovered" + std::to_string(behind) + ".mp4").c_str(), cut.bytes,
        front, whole);
  }

  const std::vector<WebResult> results = PlayChromium(cases, dir_);

  ASSERT_EQ(results.size(), cases.size());
  for (size_t i = 0; i < cases.size(); ++i) {
    SCOPED_TRACE(cases[i].file);
    EXPECT_EQ(results[i].file, cases[i].file);
    EXPECT_EQ(results[i].error, "");
    EXPECT_EQ(results[i].numbers, expected[i]);
    if (expected[i].size() == expected[0].size()) {
      EXPECT_NEAR(results[i].duration,
                  static_cast<double>(front.until) / 90'000, 0.001);
    }
  }
}

}  // namespace
}  // namespace kine::mp4
