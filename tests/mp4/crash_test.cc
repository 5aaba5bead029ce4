// The promise of the format: whatever is cut, torn or flipped behind the
// durable mark, recovery keeps every whole fragment before it, and finalising
// may be interrupted anywhere and repeated.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "encode/mp4/box_reader.h"
#include "encode/mp4/finalise.h"
#include "encode/mp4/scanner.h"
#include "tests/fakes/sanitizer.h"
#include "tests/mp4/test_recording.h"

namespace kine::mp4 {
namespace {

constexpr size_t kSectorBytes = 512;
constexpr size_t kMemoryMax = 1u << 20;
// From one byte to the next. TSan makes a scan slow and has no second thread to
// look at here.
constexpr size_t kStride = kThreadSanitizer ? 31 : 1;

// Both forms of the finished file: the index in front and at the end.
class CrashTest : public testing::TestWithParam<bool> {
 protected:
  TestRecording Recording(uint32_t seed) const {
    RecordingShape shape;
    shape.seed = seed;
    shape.reserve_bytes = GetParam() ? 4096 : 1024;
    shape.fragments = GetParam() ? 5 : 20;  // Too many for 1 KiB.
    TestRecording recording = MakeRecording(shape);
    const auto plan = PlanFinalise(recording.map, recording.until);
    EXPECT_TRUE(plan.ok());
    EXPECT_EQ(plan->index_in_front, GetParam());
    return recording;
  }
};
INSTANTIATE_TEST_SUITE_P(Index, CrashTest, testing::Bool(),
                         [](const auto& index) {
                           return index.param ? "InFront" : "AtEnd";
                         });

// When the last sample of a cut file ends, for a caller who knows no better.
uint64_t UntilOf(const TestRecording& recording, size_t samples) {
  return recording.samples[samples - 1].time + 777;
}

void ExpectRecovered(MemoryFile file, const TestRecording& recording,
                     size_t whole) {
  const size_t samples = recording.SamplesIn(whole);
  const uint64_t until = whole == 0 ? 0 : UntilOf(recording, samples);
  const ByteVector before = file.bytes;
  ASSERT_EQ(Recover(file, until), whole == 0 ? 0 : samples);
  if (whole == 0) {
    EXPECT_EQ(file.bytes, before);
  } else {
    ASSERT_NO_FATAL_FAILURE(ExpectFinished(file, recording, samples, until));
  }
}

TEST_P(CrashTest, ACutAtAnyByteKeepsAllWholeFragments) {
  const TestRecording recording = Recording(1);
  const size_t last_two = recording.fragment_offsets[recording.fragments() - 2];
  for (size_t cut = 0; cut <= recording.bytes.size(); cut += kStride) {
    // Every byte of the head and of the first and the last two fragments.
    if (cut > recording.fragment_offsets[1] && cut < last_two) continue;
    SCOPED_TRACE(cut);
    MemoryFile file(recording.bytes);
    file.bytes.resize(cut);
    ASSERT_NO_FATAL_FAILURE(
        ExpectRecovered(file, recording, recording.WholeFragments(cut)));
  }
}

TEST_P(CrashTest, WhatStandsBehindACutDoesNotMatter) {
  const TestRecording recording = Recording(2);
  std::mt19937 random(3);
  const size_t last_two = recording.fragment_offsets[recording.fragments() - 2];
  for (size_t cut = last_two; cut < recording.bytes.size(); cut += kStride) {
    SCOPED_TRACE(cut);
    // Preallocated zeros up to and beyond the old end; then noise.
    MemoryFile zeros(recording.bytes);
    std::fill(zeros.bytes.begin() + static_cast<std::ptrdiff_t>(cut),
              zeros.bytes.end(), std::byte{0});
    zeros.bytes.resize(zeros.bytes.size() + 5000);
    ASSERT_NO_FATAL_FAILURE(ExpectRecovered(
        zeros, recording, recording.UnchangedFragments(zeros.bytes)));
    MemoryFile noise(recording.bytes);
    noise.bytes.resize(cut);
    for (int i = 0; i < 300; ++i)
      noise.bytes.push_back(static_cast<std::byte>(random()));
    ASSERT_NO_FATAL_FAILURE(ExpectRecovered(
        noise, recording, recording.UnchangedFragments(noise.bytes)));
  }
}

TEST_P(CrashTest, AFlippedBitBehindTheDurableMarkCutsBeforeItsFragment) {
  const TestRecording recording = Recording(4);
  const size_t last_two = recording.fragments() - 2;
  for (size_t at = recording.fragment_offsets[last_two];
       at < recording.bytes.size(); at += kStride) {
    const size_t fragment = recording.WholeFragments(at);
    for (int bit = 0; bit < 8; ++bit) {
      SCOPED_TRACE(testing::Message() << "byte " << at << " bit " << bit);
      MemoryFile file(recording.bytes);
      file.bytes[at] ^= static_cast<std::byte>(1 << bit);
      const auto scan =
          Scan(file, {.durable_bytes = recording.fragment_offsets[last_two],
                      .index_memory_max = kMemoryMax});
      ASSERT_TRUE(scan.ok());
      ASSERT_EQ(scan->fragments, fragment);
      ASSERT_EQ(scan->file.end, recording.fragment_offsets[fragment]);
      if (bit == 0) {
        ASSERT_NO_FATAL_FAILURE(ExpectRecovered(file, recording, fragment));
      }
    }
  }
}

// Finalises `file` from a scan and expects the very bytes of `finished`.
void ExpectSameResult(MemoryFile file, const TestRecording& recording,
                      const ByteVector& finished) {
  const auto scan =
      Scan(file, {.durable_bytes = 0, .index_memory_max = kMemoryMax});
  ASSERT_TRUE(scan.ok()) << scan.status();
  ASSERT_EQ(scan->state, ScanResult::State::kGrowing) << scan->ended_by;
  ASSERT_EQ(scan->file.header, recording.map.header);
  ASSERT_EQ(SamplesOf(scan->file.index), SamplesOf(recording.map.index));
  const auto plan = PlanFinalise(scan->file, recording.until);
  ASSERT_TRUE(plan.ok());
  ASSERT_TRUE(RunPlan(*plan, file).ok());
  // Not EXPECT_EQ: its output would be kilobytes.
  ASSERT_TRUE(file.bytes == finished);
}

TEST_P(CrashTest, StopAndRecoveryGiveTheSameBytes) {
  const TestRecording recording = Recording(5);
  const auto plan = PlanFinalise(recording.map, recording.until);
  ASSERT_TRUE(plan.ok());
  MemoryFile stopped(recording.bytes);
  ASSERT_TRUE(RunPlan(*plan, stopped).ok());

  ASSERT_NO_FATAL_FAILURE(ExpectFinished(
      stopped, recording, recording.samples.size(), recording.until));
  // A torn fragment hangs on the end of the one that recovery sees.
  MemoryFile crashed(recording.bytes);
  crashed.bytes.insert(crashed.bytes.end(), recording.bytes.end() - 200,
                       recording.bytes.end());
  ASSERT_NO_FATAL_FAILURE(ExpectSameResult(crashed, recording, stopped.bytes));
}

TEST_P(CrashTest, FinaliseMayBeInterruptedWithinAnyStepAndRepeated) {
  const TestRecording recording = Recording(6);
  const auto plan = PlanFinalise(recording.map, recording.until);
  ASSERT_TRUE(plan.ok());
  MemoryFile done(recording.bytes);
  ASSERT_TRUE(RunPlan(*plan, done).ok());
  const size_t commit = plan->steps.size() - 2;

  MemoryFile file(recording.bytes);
  file.bytes.resize(file.bytes.size() + 999);  // Preallocated.
  for (size_t i = 0; i < commit; ++i) {
    SCOPED_TRACE(testing::Message() << "step " << i);
    const FinaliseStep& step = plan->steps[i];
    ASSERT_NO_FATAL_FAILURE(ExpectSameResult(file, recording, done.bytes));
    if (step.kind == FinaliseStep::Kind::kTruncate) {
      ASSERT_TRUE(file.Truncate(step.offset).ok());
    }
    if (step.kind != FinaliseStep::Kind::kWrite) continue;
    for (size_t torn = 1; torn <= step.data.size(); torn += kStride) {
      SCOPED_TRACE(testing::Message() << "torn after " << torn);
      ASSERT_TRUE(
          file.WriteAt(step.offset, std::span(step.data).first(torn)).ok());
      ASSERT_NO_FATAL_FAILURE(ExpectSameResult(file, recording, done.bytes));
    }
    ASSERT_TRUE(file.WriteAt(step.offset, step.data).ok());
  }
  // Until then a player sees nothing new but free space.
  BoxCursor boxes(file.bytes);
  int moovs = 0;
  while (const auto box = boxes.Next()) {
    if (box->type == FourCc("moov")) ++moovs;
  }
  EXPECT_TRUE(boxes.at_end());
  EXPECT_EQ(moovs, 1);
  // The commit is one aligned write of 8 bytes: there or not.
  const FinaliseStep& last = plan->steps[commit];
  ASSERT_EQ(last.kind, FinaliseStep::Kind::kWrite);
  ASSERT_EQ(last.data.size(), 8u);
  ASSERT_EQ(last.offset % 8, 0u);
  ASSERT_EQ(plan->steps[commit - 1].kind, FinaliseStep::Kind::kSync);
  ASSERT_EQ(plan->steps[commit + 1].kind, FinaliseStep::Kind::kSync);
  ASSERT_TRUE(file.WriteAt(last.offset, last.data).ok());
  ASSERT_NO_FATAL_FAILURE(ExpectFinished(
      file, recording, recording.samples.size(), recording.until));
}

// Between two syncs the disk writes sectors in any order.
TEST_P(CrashTest, AnySectorsWrittenBeforeTheCommitLeaveTheRecordingAsItWas) {
  const TestRecording recording = Recording(7);
  const auto plan = PlanFinalise(recording.map, recording.until);
  ASSERT_TRUE(plan.ok());
  MemoryFile done(recording.bytes);
  ASSERT_TRUE(RunPlan(*plan, done).ok());
  std::mt19937 random(8);
  for (int round = 0; round < 300; ++round) {
    SCOPED_TRACE(round);
    MemoryFile file(recording.bytes);
    for (size_t i = 0; i + 2 < plan->steps.size(); ++i) {
      const FinaliseStep& step = plan->steps[i];
      for (size_t p = 0; p < step.data.size();) {
        const size_t left = kSectorBytes - (step.offset + p) % kSectorBytes;
        const size_t n = std::min(left, step.data.size() - p);
        if (random() % 2 == 0) {
          ASSERT_TRUE(
              file.WriteAt(step.offset + p, std::span(step.data).subspan(p, n))
                  .ok());
        }
        p += n;
      }
    }
    ASSERT_NO_FATAL_FAILURE(ExpectSameResult(file, recording, done.bytes));
  }
}

TEST_P(CrashTest, APlanThatFailsAtAnyOperationCanBeRunAgain) {
  const TestRecording recording = Recording(9);
  const auto plan = PlanFinalise(recording.map, recording.until);
  ASSERT_TRUE(plan.ok());
  MemoryFile done(recording.bytes);
  ASSERT_TRUE(RunPlan(*plan, done).ok());
  EXPECT_EQ(done.syncs, 2);
  for (int good = 0; good < static_cast<int>(plan->steps.size()); ++good) {
    SCOPED_TRACE(good);
    MemoryFile file(recording.bytes);
    file.operations_left = good;
    EXPECT_FALSE(RunPlan(*plan, file).ok());
    EXPECT_EQ(file.operations_left, 0);
    file.operations_left = 100;
    EXPECT_TRUE(RunPlan(*plan, file).ok());
    EXPECT_TRUE(file.bytes == done.bytes);
  }
}

}  // namespace
}  // namespace kine::mp4
