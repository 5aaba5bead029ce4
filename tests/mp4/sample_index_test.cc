#include "encode/mp4/sample_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "daemon/base/limits.h"
#include "tests/mp4/test_recording.h"

namespace kine::mp4 {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr size_t kPlenty = 1u << 24;

TEST(SampleIndexTest, GivesBackWhatWasAdded) {
  std::mt19937_64 random(1);
  SampleIndex index(kPlenty);
  std::vector<IndexedSample> added;
  uint64_t offset = 0;
  uint64_t time = 0;
  for (int chunk = 0; chunk < 5'000; ++chunk) {
    offset += random() % (uint64_t{1} << (random() % 40));
    index.BeginChunk(offset);
    const auto count = 1 + random() % 8;
    for (uint64_t i = 0; i < count; ++i) {
      IndexedSample sample;
      sample.offset = offset;
      sample.size = static_cast<uint32_t>(random() >> (32 + random() % 32));
      sample.time = time;
      sample.keyframe = random() % 5 == 0;
      sample.priority = static_cast<uint16_t>(random());
      sample.starts_chunk = i == 0;
      index.Add(time, sample.size, sample.keyframe, sample.priority);
      added.push_back(sample);
      offset += sample.size;
      time += random() % (uint64_t{1} << (random() % 31));
    }
  }

  EXPECT_TRUE(index.complete());
  EXPECT_EQ(SamplesOf(index), added);
}

TEST(SampleIndexTest, AnEmptyOneHasNoSamples) {
  EXPECT_THAT(SamplesOf(SampleIndex()), IsEmpty());
  EXPECT_EQ(SampleIndex().counts(), IndexCounts());
}

TEST(SampleIndexTest, ChunksMayLieBeforeEachOther) {
  SampleIndex index(kPlenty);
  index.BeginChunk(1000);
  index.Add(0, 10, true, 0);
  index.BeginChunk(100);
  index.Add(1, 10, false, 0);

  const std::vector<IndexedSample> samples = SamplesOf(index);
  EXPECT_EQ(samples[0].offset, 1000u);
  EXPECT_EQ(samples[1].offset, 100u);
}

TEST(SampleIndexTest, CountsRunsOfDurationsAndOfChunks) {
  SampleIndex index(kPlenty);
  // Durations 5 5 7 7, chunks of 2, 2 and 1.
  index.BeginChunk(0);
  index.Add(0, 1, true, 0);
  index.Add(5, 1, false, 0);
  index.BeginChunk(10);
  index.Add(10, 1, false, 0);
  index.Add(17, 1, true, 0);
  index.BeginChunk(20);
  index.Add(24, 1, false, 0);

  const IndexCounts counts = index.counts();
  EXPECT_EQ(counts.samples, 5u);
  EXPECT_EQ(counts.keyframes, 2u);
  EXPECT_EQ(counts.chunks, 3u);
  EXPECT_EQ(counts.chunk_runs, 2u);
  EXPECT_EQ(counts.duration_runs, 2u);
  EXPECT_EQ(counts.last_run_duration, 7u);
  EXPECT_EQ(counts.last_chunk_offset, 20u);
  EXPECT_EQ(counts.last_time, 24u);
}

TEST(SampleIndexTest, ShortensAGapThatPlayersCannotRead) {
  SampleIndex index(kPlenty);
  index.BeginChunk(0);
  index.Add(1000, 1, true, 0);
  index.Add(1000 + 2 * kSampleTicksMax, 1, false, 0);
  index.Add(1000 + 2 * kSampleTicksMax + 9, 1, false, 0);

  const std::vector<IndexedSample> samples = SamplesOf(index);
  EXPECT_EQ(samples[0].time, 0u);
  EXPECT_EQ(samples[1].time, kSampleTicksMax);
  EXPECT_EQ(samples[2].time, kSampleTicksMax + 9);
  EXPECT_EQ(index.counts().last_time_added, 1000 + 2 * kSampleTicksMax + 9);
}

TEST(SampleIndexTest, ForgetsTheSamplesAboveItsMemoryButCountsOn) {
  SampleIndex small(256u << 10);
  SampleIndex large(kPlenty);
  bool was_full_at_the_limit = false;
  for (uint64_t i = 0; i < 100'000; ++i) {
    for (SampleIndex* index : {&small, &large}) {
      if (i % 15 == 0) index->BeginChunk(i * 1000);
      index->Add(i * 3000, 900, i % 150 == 0, 4000);
    }
    ASSERT_LE(small.memory_bytes(), 256u << 10);
    if (small.memory_bytes() == 256u << 10) was_full_at_the_limit = true;
  }

  EXPECT_TRUE(was_full_at_the_limit);
  EXPECT_FALSE(small.complete());
  EXPECT_EQ(small.memory_bytes(), 0u);
  EXPECT_TRUE(large.complete());
  EXPECT_EQ(small.counts(), large.counts());
}

// limits.h promises it.
TEST(SampleIndexTest, AMillionSamplesFitTheRecordersMemory) {
  SampleIndex index(limits::kIndexMemoryBytesMax);
  uint64_t offset = 0;
  for (uint64_t i = 0; i < 1'000'000; ++i) {
    if (i % 15 == 0) index.BeginChunk(offset += 308);
    const auto size = 900 + static_cast<uint32_t>(i % 70'000);
    index.Add(i * 2999 + i % 3, size, i % 150 == 0,
              static_cast<uint16_t>(0x8000 + i % 8160));
    offset += size;
  }
  EXPECT_TRUE(index.complete());
}

}  // namespace
}  // namespace kine::mp4
