#include "tests/mp4/test_recording.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "daemon/base/check.h"
#include "daemon/base/limits.h"
#include "encode/mp4/box_writer.h"
#include "encode/mp4/movie_reader.h"
#include "encode/mp4/scanner.h"

namespace kine::mp4 {
namespace {

constexpr size_t kMemoryMax = 1u << 20;

void AppendNal(std::span<const uint8_t> nal, size_t noise, std::mt19937& random,
               ByteVector& out) {
  BoxWriter w(out);
  w.U32(static_cast<uint32_t>(nal.size() + noise));
  w.Bytes(std::as_bytes(nal));
  for (size_t i = 0; i < noise; ++i) w.U8(static_cast<uint8_t>(random()));
}

}  // namespace

absl::Status MemoryFile::Operation() {
  if (operations_left == 0) return absl::DataLossError("read or write failed");
  --operations_left;
  return absl::OkStatus();
}

absl::StatusOr<size_t> MemoryFile::ReadAt(uint64_t offset,
                                          std::span<std::byte> into) {
  if (absl::Status status = Operation(); !status.ok()) return status;
  if (offset > bytes.size()) return absl::InternalError("read behind the end");
  const size_t count =
      std::min<size_t>(into.size(), bytes.size() - static_cast<size_t>(offset));
  std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(offset), count,
              into.begin());
  ++reads;
  bytes_read += count;
  return count;
}

absl::Status MemoryFile::WriteAt(uint64_t offset,
                                 std::span<const std::byte> data) {
  if (absl::Status status = Operation(); !status.ok()) return status;
  const auto end = static_cast<size_t>(offset + data.size());
  if (bytes.size() < end) bytes.resize(end);
  std::copy(data.begin(), data.end(),
            bytes.begin() + static_cast<std::ptrdiff_t>(offset));
  return absl::OkStatus();
}

absl::Status MemoryFile::Truncate(uint64_t length) {
  if (absl::Status status = Operation(); !status.ok()) return status;
  bytes.resize(static_cast<size_t>(length));
  return absl::OkStatus();
}

absl::Status MemoryFile::Sync() {
  if (absl::Status status = Operation(); !status.ok()) return status;
  ++syncs;
  return absl::OkStatus();
}

ByteVector FakeAccessUnit(bool keyframe, size_t slice_bytes,
                          std::mt19937& random) {
  constexpr uint8_t kSps[] = {0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9};
  constexpr uint8_t kPps[] = {0x68, 0xeb, 0xe3};
  constexpr uint8_t kIdr[] = {0x65};
  constexpr uint8_t kSlice[] = {0x41};
  ByteVector unit;
  if (keyframe) {
    AppendNal(kSps, 0, random, unit);
    AppendNal(kPps, 0, random, unit);
  }
  AppendNal(keyframe ? kIdr : kSlice, slice_bytes, random, unit);
  return unit;
}

size_t TestRecording::WholeFragments(uint64_t file_bytes) const {
  size_t whole = 0;
  while (whole < fragments()) {
    const uint64_t end =
        whole + 1 < fragments() ? fragment_offsets[whole + 1] : map.end;
    if (end > file_bytes) break;
    ++whole;
  }
  return whole;
}

size_t TestRecording::UnchangedFragments(const ByteVector& file) const {
  const auto different = std::ranges::mismatch(bytes, file).in1;
  return WholeFragments(static_cast<uint64_t>(different - bytes.begin()));
}

size_t TestRecording::SamplesIn(size_t whole_fragments) const {
  return whole_fragments < fragments() ? samples_before[whole_fragments]
                                       : samples.size();
}

TestRecording MakeRecording(const RecordingShape& shape) {
  std::mt19937 random(shape.seed);
  const auto below = [&](size_t limit) { return random() % limit; };
  TestRecording recording;
  const ByteVector first = FakeAccessUnit(true, 40, random);
  InitOptions options;
  options.width = 64;
  options.height = 48;
  options.keyframe = first;
  options.reserve_bytes = shape.reserve_bytes;
  absl::StatusOr<InitSegment> init = BuildInitSegment(options);
  KINE_CHECK(init.ok());
  recording.init = *std::move(init);
  AppendInit(recording.init, recording.bytes);

  FragmentWriter writer(recording.init.header, kMemoryMax);
  uint64_t time = 0;
  for (int i = 0; i < shape.fragments; ++i) {
    recording.fragment_offsets.push_back(writer.end());
    recording.samples_before.push_back(recording.samples.size());
    const size_t count = 1 + below(static_cast<size_t>(shape.samples_max));
    for (size_t k = 0; k < count; ++k) {
      Sample sample;
      sample.keyframe =
          recording.samples.empty() || shape.only_keyframes || below(8) == 0;
      sample.data =
          Share(recording.samples.empty()
                    ? first
                    : FakeAccessUnit(sample.keyframe,
                                     1 + below(shape.slice_bytes_max), random));
      sample.time = time;
      sample.priority =
          Priority(static_cast<uint32_t>(below(9000)), below(2) == 0);
      recording.samples.push_back(sample);
      writer.Add(std::move(sample));
      time += below(3) == 0 ? 3000 : 2900 + below(200);
    }
    // Sometimes a still screen: the next fragment begins much later.
    recording.until = time;
    const bool late = shape.late_samples && i + 1 < shape.fragments;
    const Fragment fragment = writer.Close(late ? time + 1'000 : time);
    recording.bytes.insert(recording.bytes.end(), fragment.bytes.begin(),
                           fragment.bytes.end());
    if (!late && below(3) == 0) time += 100'000 + below(500'000);
  }
  recording.until += 12'345;
  recording.map = std::move(writer).TakeFile();
  return recording;
}

void AppendInit(const InitSegment& init, ByteVector& file) {
  file.insert(file.end(), init.head.begin(), init.head.end());
  // Not zeros: nothing may depend on what the reserve reads as.
  file.resize(static_cast<size_t>(init.header.moov_offset()), std::byte{0xa5});
  file.insert(file.end(), init.moov.begin(), init.moov.end());
}

std::vector<IndexedSample> SamplesOf(const SampleIndex& index) {
  std::vector<IndexedSample> samples;
  SampleIndex::Reader reader(index);
  while (const auto sample = reader.Next()) samples.push_back(*sample);
  return samples;
}

size_t Recover(MemoryFile& file, uint64_t until) {
  const auto scan =
      Scan(file, {.durable_bytes = 0, .index_memory_max = kMemoryMax});
  EXPECT_TRUE(scan.ok()) << scan.status();
  if (!scan.ok() || scan->state == ScanResult::State::kNoFrame) return 0;
  EXPECT_EQ(scan->state, ScanResult::State::kGrowing) << scan->ended_by;
  const auto plan = PlanFinalise(scan->file, until);
  EXPECT_TRUE(plan.ok()) << plan.status();
  if (!plan.ok()) return 0;
  EXPECT_TRUE(RunPlan(*plan, file).ok());
  EXPECT_EQ(file.bytes.size(), plan->file_bytes);
  return static_cast<size_t>(plan->samples);
}

void ExpectFinished(MemoryFile& file, const TestRecording& recording,
                    size_t count, uint64_t until) {
  const auto scan =
      Scan(file, {.durable_bytes = 0, .index_memory_max = kMemoryMax});
  ASSERT_TRUE(scan.ok()) << scan.status();
  ASSERT_EQ(scan->state, ScanResult::State::kFinished) << scan->ended_by;
  EXPECT_EQ(scan->file.end, file.bytes.size());

  const auto movie = ReadMovie(file, kMemoryMax);
  ASSERT_TRUE(movie.ok()) << movie.status();
  EXPECT_EQ(movie->width, 64);
  EXPECT_EQ(movie->height, 48);
  EXPECT_EQ(movie->time_scale, uint32_t{limits::kMediaTimeScale});
  EXPECT_EQ(movie->stsd, recording.init.header.stsd);
  EXPECT_EQ(movie->duration_ticks, until);
  const std::vector<IndexedSample> samples = SamplesOf(movie->index);
  ASSERT_EQ(samples.size(), count);
  for (size_t i = 0; i < count; ++i) {
    const Sample& truth = recording.samples[i];
    ASSERT_EQ(samples[i].time, truth.time) << i;
    ASSERT_EQ(samples[i].keyframe, truth.keyframe) << i;
    ASSERT_EQ(samples[i].priority, truth.priority) << i;
    const auto data =
        std::span(file.bytes)
            .subspan(static_cast<size_t>(samples[i].offset), samples[i].size);
    ASSERT_TRUE(std::ranges::equal(data, *truth.data)) << i;
  }
  EXPECT_EQ(movie->last_duration, until - recording.samples[count - 1].time);
}

}  // namespace kine::mp4
