// Compact times, the map between them and the recorded ones, and heads of
// views.
#include "encode/mp4/view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

#include "encode/mp4/finalise.h"
#include "encode/mp4/fragment_layout.h"
#include "encode/mp4/moov.h"
#include "tests/mp4/test_recording.h"

namespace kine::mp4 {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr size_t kMemoryMax = 1u << 24;
constexpr uint16_t kWidth = 1920;
constexpr uint16_t kHeight = 1080;  // 8,160 macroblocks.
constexpr uint64_t kSecond = 90'000;

struct At {
  uint64_t time;
  uint32_t damaged;
  bool agent = false;
};

SampleIndex IndexOf(const std::vector<At>& samples) {
  SampleIndex index(kMemoryMax);
  index.BeginChunk(1000);
  for (const At& at : samples)
    index.Add(at.time, 10, at.time == 0, Priority(at.damaged, at.agent));
  return index;
}

std::vector<uint64_t> TimesOf(const SampleIndex& index) {
  std::vector<uint64_t> times;
  for (const IndexedSample& sample : SamplesOf(index))
    times.push_back(sample.time);
  return times;
}

// The recorded time at `view`, by the map alone.
uint64_t MediaAt(const std::vector<TimePoint>& points, uint64_t view) {
  auto next = std::ranges::upper_bound(points, view, {}, &TimePoint::view);
  if (next == points.end()) --next;
  const TimePoint a = *(next - 1);
  const TimePoint b = *next;
  return a.media + (view - a.view) * (b.media - a.media) / (b.view - a.view);
}

TimedSamples Copy(const SampleIndex& index, uint64_t last_duration) {
  TimedSamples out;
  out.index = SampleIndex(kMemoryMax);
  for (const IndexedSample& s : SamplesOf(index)) {
    if (s.starts_chunk) out.index.BeginChunk(s.offset);
    out.index.Add(s.time, s.size, s.keyframe, s.priority);
  }
  out.last_duration = last_duration;
  return out;
}

TEST(CompactTest, IdleTimeRunsFasterAndTheRestAsRecorded) {
  // Something at 0, 1 s and 31 s; stillness between them and for 10 s after.
  const SampleIndex index = IndexOf(
      {{0, 8160}, {kSecond, 100}, {31 * kSecond, 100}, {32 * kSecond, 100}});

  const TimedSamples compact =
      Compact(index, 10 * kSecond, kWidth, kHeight, {5 * kSecond, 10});

  // 5 of the 30 s as they were, 25 as 2.5; then 5 and 5 as 0.5.
  EXPECT_THAT(TimesOf(compact.index),
              ElementsAre(0, kSecond, kSecond * 17 / 2, kSecond * 19 / 2));
  EXPECT_EQ(compact.last_duration, kSecond * 11 / 2);
  EXPECT_EQ(compact.duration(), kSecond * 15);
}

TEST(CompactTest, ABlinkingCursorAndAClockAreIdle) {
  std::vector<At> samples = {{0, 8160}};
  // Two macroblocks twice a second, a clock of 30 once a second, 60 s long.
  for (uint64_t half = 1; half < 120; ++half)
    samples.push_back({half * kSecond / 2, half % 2 == 0 ? 32u : 2u});

  const TimedSamples compact =
      Compact(IndexOf(samples), kSecond / 2, kWidth, kHeight, {5 * kSecond, 5});

  // Within the first second the first picture's damage still counts.
  EXPECT_EQ(compact.duration(),
            kSecond * 11 / 2 + (60 * kSecond - kSecond * 11 / 2) / 5);
}

TEST(CompactTest, APictureWithoutDamageIsIdleWhateverCameBeforeIt) {
  const SampleIndex index = IndexOf({{0, 8160}, {kSecond * 3 / 10, 0}});

  const TimedSamples compact =
      Compact(index, kSecond * 97 / 10, kWidth, kHeight, {kSecond, 10});

  EXPECT_EQ(compact.duration(), kSecond * 19 / 10);
}

TEST(CompactTest, OnePercentWithinASecondIsActivityAndOneMacroblockLessIsNot) {
  const auto duration = [](uint32_t damaged) {
    std::vector<At> samples = {{0, 8160}};
    for (uint64_t i = 1; i <= 300; ++i)
      samples.push_back({i * kSecond / 10, damaged});
    return Compact(IndexOf(samples), kSecond / 10, kWidth, kHeight,
                   {2 * kSecond, 10})
        .duration();
  };

  // Ten frames a second: 90 of 8,160 are more than 1 %, 80 are less.
  EXPECT_EQ(duration(9), kSecond * 301 / 10);
  EXPECT_LT(duration(8), kSecond * 10);
}

TEST(CompactTest, AnActiveAgentIsActivityWhateverTheScreenShows) {
  std::vector<At> samples = {{0, 8160}};
  for (uint64_t i = 1; i < 60; ++i) samples.push_back({i * kSecond, 1, true});

  const TimedSamples compact =
      Compact(IndexOf(samples), kSecond, kWidth, kHeight, {2 * kSecond, 10});

  EXPECT_EQ(compact.duration(), 60 * kSecond);
}

TEST(CompactTest, ManyFramesInAFastStretchKeepTheirOrder) {
  std::vector<At> samples = {{0, 8160}};
  for (uint64_t i = 1; i < 5000; ++i) samples.push_back({200'000 + i, 0});

  const TimedSamples compact =
      Compact(IndexOf(samples), 1, kWidth, kHeight, {kSecond, 1000});

  const std::vector<uint64_t> times = TimesOf(compact.index);
  ASSERT_EQ(times.size(), samples.size());
  for (size_t i = 1; i < times.size(); ++i) ASSERT_GT(times[i], times[i - 1]);
}

// Random recordings: no stretch gets longer, active ones stay as they are, and
// the map finds every recorded time from the view's, exactly.
TEST(CompactTest, PropertiesHoldForRandomRecordings) {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    std::vector<At> samples;
    uint64_t time = 0;
    const size_t count = 1 + random() % 300;
    for (size_t i = 0; i < count; ++i) {
      samples.push_back(
          {time,
           static_cast<uint32_t>(random() % 3 == 0 ? random() % 9000
                                                   : random() % 9),
           random() % 50 == 0});
      time += random() % 4 == 0 ? 1 + random() % (20 * kSecond)
                                : 1 + random() % 6000;
    }
    const uint64_t last = 1 + random() % (10 * kSecond);
    const CompactRule rule{random() % (3 * kSecond), 2 + seed % 60};
    const SampleIndex index = IndexOf(samples);

    const TimedSamples view = Compact(index, last, kWidth, kHeight, rule);

    const TimedSamples media = Copy(index, last);
    const std::vector<IndexedSample> before = SamplesOf(index);
    const std::vector<IndexedSample> after = SamplesOf(view.index);
    ASSERT_EQ(after.size(), before.size());
    EXPECT_LE(view.duration(), media.duration());
    EXPECT_GE(view.duration(), media.duration() / rule.speed);
    const std::vector<TimePoint> points = MapTimes(view, media);
    for (size_t i = 0; i < after.size(); ++i) {
      ASSERT_EQ(after[i].offset, before[i].offset);
      ASSERT_EQ(after[i].priority, before[i].priority);
      if (i > 0) {
        ASSERT_GT(after[i].time, after[i - 1].time);
      }
      ASSERT_EQ(MediaAt(points, after[i].time), before[i].time) << i;
    }
    EXPECT_EQ(points.back(), (TimePoint{view.duration(), media.duration()}));
    for (size_t i = 1; i < points.size(); ++i) {
      ASSERT_GT(points[i].view, points[i - 1].view);
      ASSERT_GT(points[i].media, points[i - 1].media);
    }
  }
}

TEST(MapTimesTest, RecordedTimesNeedTwoPoints) {
  const SampleIndex index = IndexOf({{0, 1}, {3000, 1}, {9000, 1}});
  const TimedSamples samples = Copy(index, 500);

  EXPECT_THAT(MapTimes(samples, samples),
              ElementsAre(TimePoint{0, 0}, TimePoint{9500, 9500}));
}

// -- Heads -------------------------------------------------------------------

MemoryFile FinishedFile(const TestRecording& recording, CompactRule rule) {
  const auto plan = PlanFinalise(recording.map, recording.until, rule);
  EXPECT_TRUE(plan.ok()) << plan.status();
  MemoryFile file(recording.bytes);
  EXPECT_TRUE(RunPlan(*plan, file).ok());
  EXPECT_EQ(file.bytes.size(), plan->file_bytes);
  return file;
}

// The bytes of a view of `file`.
MemoryFile ViewOf(MemoryFile& file, const Movie& movie,
                  const TimedSamples& samples) {
  const auto view = BuildViewHead(file, movie, samples);
  EXPECT_TRUE(view.ok()) << view.status();
  MemoryFile out(view->head);
  const auto begin =
      file.bytes.begin() + static_cast<std::ptrdiff_t>(view->media_offset);
  out.bytes.insert(out.bytes.end(), begin,
                   begin + static_cast<std::ptrdiff_t>(view->media_bytes));
  return out;
}

TEST(ViewTest, EitherViewIsMadeFromEitherFileWithTheSameSamples) {
  const CompactRule rule{20'000, 7};
  for (uint32_t seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    RecordingShape shape;
    shape.seed = seed;
    shape.fragments = 1 + static_cast<int>(seed) % 12;
    // Every other index is at the end of the file.
    shape.reserve_bytes = seed % 2 == 0 ? 1024 : 8192;
    shape.only_keyframes = seed % 5 == 0;
    shape.late_samples = seed % 7 == 0;
    const TestRecording recording = MakeRecording(shape);
    const size_t count = recording.samples.size();
    MemoryFile own = FinishedFile(recording, {});
    MemoryFile own_compact = FinishedFile(recording, rule);
    const auto movie = ReadMovie(own, kMemoryMax);
    const auto compact_movie = ReadMovie(own_compact, kMemoryMax);
    ASSERT_TRUE(movie.ok() && compact_movie.ok());

    const TimedSamples compact = Compact(movie->index, movie->last_duration,
                                         movie->width, movie->height, rule);
    MemoryFile view = ViewOf(own, *movie, compact);
    const auto read = ReadMovie(view, kMemoryMax);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->duration_ticks, compact.duration());
    EXPECT_EQ(TimesOf(read->index), TimesOf(compact_movie->index));
    EXPECT_EQ(read->last_duration, compact_movie->last_duration);

    const auto recorded =
        ReadRecordedTimes(own_compact, *compact_movie, recording.until);
    ASSERT_TRUE(recorded.ok()) << recorded.status();
    MemoryFile back = ViewOf(own_compact, *compact_movie, *recorded);
    // Byte for byte what was recorded, at the recorded times.
    ExpectFinished(back, recording, count, recording.until);
  }
}

TEST(ViewTest, AFragmentThatWasDamagedIsNoSourceOfTimes) {
  RecordingShape shape;
  shape.reserve_bytes = 8192;
  const TestRecording recording = MakeRecording(shape);
  MemoryFile file = FinishedFile(recording, {20'000, 7});
  const auto movie = ReadMovie(file, kMemoryMax);
  ASSERT_TRUE(movie.ok());
  // In the decode time of the last fragment: 13 hours later, as it may be.
  file.bytes[static_cast<size_t>(recording.fragment_offsets.back()) + 63] ^=
      std::byte{1};

  const auto recorded = ReadRecordedTimes(file, *movie, recording.until);

  EXPECT_EQ(recorded.status().code(), absl::StatusCode::kDataLoss)
      << recorded.status();
}

TEST(ViewTest, WhatIsNoRecordingOfOursIsRefused) {
  const TestRecording recording = MakeRecording({});
  MemoryFile file = FinishedFile(recording, {});
  auto movie = ReadMovie(file, kMemoryMax);
  ASSERT_TRUE(movie.ok());
  TimedSamples samples = Copy(movie->index, movie->last_duration);
  movie->time_scale = 1000;
  EXPECT_THAT(BuildViewHead(file, *movie, samples).status().message(),
              HasSubstr("no recording of ours"));

  movie->time_scale = 90'000;
  file.bytes[4] = std::byte{'x'};
  EXPECT_THAT(BuildViewHead(file, *movie, samples).status().message(),
              HasSubstr("ftyp"));
}

// A recording that will be compact keeps to max_bytes whatever its durations
// become.
TEST(ViewTest, ACompactFileIsNeverLargerThanItsWriterSaid) {
  for (uint32_t seed = 0; seed < 40; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const TestRecording like = MakeRecording({.seed = seed});
    FragmentWriter writer(like.init.header, kMemoryMax, /*retimed=*/true);
    // Evenly: one run of durations as recorded, many when compact.
    uint64_t bound = 0;
    for (uint64_t i = 0; i < 400; ++i) {
      Sample sample;
      sample.data = Share(FakeAccessUnit(i == 0, 1 + random() % 20, random));
      sample.time = i * 3001;
      sample.keyframe = i == 0;
      sample.priority = Priority(random() % 7 == 0 ? 12 : 0, false);
      bound = writer.FinishedBytesWith(sample);
      writer.Add(std::move(sample));
      if (i % 5 == 4) writer.Close(i * 3001 + 3000);
    }
    const auto plan = PlanFinalise(std::move(writer).TakeFile(), 400 * 3001,
                                   {random() % 9000, 2 + seed % 30});
    ASSERT_TRUE(plan.ok());
    EXPECT_LE(plan->file_bytes, bound);
  }
}

}  // namespace
}  // namespace kine::mp4
