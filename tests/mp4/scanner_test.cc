// Scan() and ReadMovie() on files that are not as expected, and what they read.
#include "encode/mp4/scanner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "encode/mp4/box_reader.h"
#include "encode/mp4/box_writer.h"
#include "encode/mp4/finalise.h"
#include "encode/mp4/moov.h"
#include "encode/mp4/movie_reader.h"
#include "tests/mp4/test_recording.h"

namespace kine::mp4 {
namespace {

using testing::HasSubstr;
using State = ScanResult::State;

constexpr size_t kMemory = 1u << 20;
constexpr ScanOptions kCheckAll{.durable_bytes = 0,
                                .index_memory_max = kMemory};

ScanResult ScanFile(MemoryFile& file, const ScanOptions& options = kCheckAll) {
  auto scan = Scan(file, options);
  EXPECT_TRUE(scan.ok()) << scan.status();
  return scan.ok() ? *std::move(scan) : ScanResult{};
}

MemoryFile FinishedFile(const TestRecording& recording) {
  const auto plan = PlanFinalise(recording.map, recording.until);
  EXPECT_TRUE(plan.ok());
  MemoryFile file(recording.bytes);
  EXPECT_TRUE(RunPlan(*plan, file).ok());
  return file;
}

TEST(ScannerTest, ReadsBackWhatTheWriterKnows) {
  const TestRecording recording = MakeRecording({.seed = 11, .fragments = 30});
  MemoryFile file(recording.bytes);
  const ScanResult scan = ScanFile(file);

  EXPECT_EQ(scan.state, State::kGrowing);
  EXPECT_EQ(scan.fragments, 30u);
  EXPECT_EQ(scan.file.header, recording.map.header);
  EXPECT_EQ(scan.file.end, recording.map.end);
  EXPECT_EQ(scan.ended_by, "end of file");
  EXPECT_EQ(SamplesOf(scan.file.index), SamplesOf(recording.map.index));
  EXPECT_EQ(scan.last_until, recording.until - 12'345);
}

TEST(ScannerTest, ReadsThePayloadBehindTheDurableMarkOnly) {
  const TestRecording recording =
      MakeRecording({.seed = 12, .fragments = 20, .slice_bytes_max = 20'000});
  MemoryFile file(recording.bytes);
  // A payload that rotted on the disk, in front of the mark.
  file.bytes[static_cast<size_t>(recording.fragment_offsets[11]) - 1] ^=
      std::byte{1};
  const uint64_t mark = recording.fragment_offsets[18];

  const ScanResult trusting =
      ScanFile(file, {.durable_bytes = mark, .index_memory_max = kMemory});

  EXPECT_EQ(trusting.fragments, 20u);
  // A window a fragment, and what is behind the mark twice.
  EXPECT_LE(file.reads, 5u + 20u + 2u + 4u);
  EXPECT_LT(file.bytes_read, 30 * 4096 + 2 * (recording.bytes.size() - mark));
  EXPECT_EQ(ScanFile(file).fragments, 10u);
}

// What has something behind it was durable before that was written.
TEST(ScannerTest, ChecksOnlyTheLastOfFragmentsThatWereSyncedInTurn) {
  const TestRecording recording =
      MakeRecording({.seed = 12, .fragments = 20, .slice_bytes_max = 20'000});
  const ScanOptions options{.each_synced = true, .index_memory_max = kMemory};
  const auto end = static_cast<size_t>(recording.fragment_offsets[11]);
  MemoryFile file(recording.bytes);
  file.bytes[end - 1] ^= std::byte{1};

  EXPECT_EQ(ScanFile(file, options).fragments, 20u);
  EXPECT_LT(file.bytes_read,
            30 * 4096 + 2 * (recording.bytes.size() -
                             recording.fragment_offsets.back()));
  // One byte of the next is enough; without it the payload is read.
  file.bytes.resize(end + 1);
  EXPECT_EQ(ScanFile(file, options).fragments, 11u);
  file.bytes.resize(end);
  EXPECT_EQ(ScanFile(file, options).fragments, 10u);
}

TEST(ScannerTest, PassesOnAFailedReadInsteadOfCutting) {
  const TestRecording recording = MakeRecording({.seed = 13});
  MemoryFile counting(recording.bytes);
  (void)ScanFile(counting);
  ASSERT_GE(counting.reads, 5u);
  for (int good = 0; good < static_cast<int>(counting.reads); ++good) {
    MemoryFile file(recording.bytes);
    file.operations_left = good;
    EXPECT_EQ(Scan(file, kCheckAll).status(),
              absl::DataLossError("read or write failed"));
  }
}

TEST(ScannerTest, SaysWhenTheIndexNeedsMoreMemory) {
  const TestRecording recording = MakeRecording({.seed = 14});
  MemoryFile file(recording.bytes);
  EXPECT_EQ(
      Scan(file, {.durable_bytes = 0, .index_memory_max = 100}).status().code(),
      absl::StatusCode::kResourceExhausted);
}

TEST(ScannerTest, HasNoFrameInWhatIsNoRecording) {
  const TestRecording recording = MakeRecording({.seed = 15});
  const auto why = [](ByteVector bytes) {
    MemoryFile file(std::move(bytes));
    const ScanResult scan = ScanFile(file);
    EXPECT_EQ(scan.state, State::kNoFrame);
    return scan.ended_by;
  };
  const auto& header = recording.init.header;
  EXPECT_EQ(why({}), "no ftyp");
  EXPECT_EQ(why(ByteVector(100'000)), "no ftyp");
  ByteVector no_reserve = recording.bytes;
  no_reserve.erase(
      no_reserve.begin() + static_cast<std::ptrdiff_t>(header.reserve_offset),
      no_reserve.begin() + static_cast<std::ptrdiff_t>(header.moov_offset()));
  EXPECT_EQ(why(no_reserve), "a fragmented file without a reserve");
  ByteVector no_moov = recording.bytes;
  no_moov.resize(static_cast<size_t>(header.moov_offset()) + 50);
  EXPECT_EQ(why(no_moov), "no whole moov behind the reserve");
  ByteVector no_fragment = recording.bytes;
  no_fragment.resize(static_cast<size_t>(header.fragments_offset()));
  EXPECT_EQ(why(no_fragment), "end of file");
  ByteVector cut = FinishedFile(recording).bytes;
  cut.pop_back();
  EXPECT_EQ(why(cut), "a finished file that was cut short");
}

TEST(ScannerTest, AFinishedFileEndsWithItsLastBox) {
  for (const uint64_t reserve : {1024u, 8192u}) {
    const TestRecording recording =
        MakeRecording({.seed = 16, .fragments = 20, .reserve_bytes = reserve});
    MemoryFile file = FinishedFile(recording);
    const uint64_t end = file.bytes.size();
    file.bytes.resize(file.bytes.size() + 4096);
    const ScanResult scan = ScanFile(file);
    EXPECT_EQ(scan.state, State::kFinished);
    EXPECT_EQ(scan.file.end, end);
  }
}

TEST(ScannerTest, TimeThatGoesBackwardsEndsTheRecording) {
  const TestRecording recording = MakeRecording({.seed = 17, .fragments = 3});
  MemoryFile file(recording.bytes);
  // The first fragment once more, behind the last.
  file.bytes.insert(
      file.bytes.end(),
      recording.bytes.begin() +
          static_cast<std::ptrdiff_t>(recording.fragment_offsets[0]),
      recording.bytes.begin() +
          static_cast<std::ptrdiff_t>(recording.fragment_offsets[1]));
  const ScanResult scan = ScanFile(file);
  EXPECT_EQ(scan.fragments, 3u);
  EXPECT_EQ(scan.ended_by, "moof: time goes backwards");
}

TEST(FinaliseTest, EverySampleSyncNeedsNoTableOfThem) {
  const TestRecording recording =
      MakeRecording({.seed = 18, .fragments = 3, .only_keyframes = true});
  MemoryFile file = FinishedFile(recording);
  ExpectFinished(file, recording, recording.samples.size(), recording.until);
  const ByteVector stss = {std::byte{'s'}, std::byte{'t'}, std::byte{'s'},
                           std::byte{'s'}};
  EXPECT_EQ(std::search(file.bytes.begin(), file.bytes.end(), stss.begin(),
                        stss.end()),
            file.bytes.end());
}

TEST(FinaliseTest, AStopBeforeTheLastSampleStillShowsItForATick) {
  const TestRecording recording = MakeRecording({.seed = 19});
  const auto plan = PlanFinalise(recording.map, 0);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->duration_ticks, recording.samples.back().time + 1);
}

TEST(FinaliseTest, RefusesAnIndexThatIsEmptyOrForgotSamples) {
  FileMap map;
  EXPECT_THAT(PlanFinalise(map, 0).status().message(), HasSubstr("no_frame"));
  map.index.BeginChunk(0);
  map.index.Add(0, 1, true, 0);  // Keeps nothing.
  EXPECT_EQ(PlanFinalise(map, 9).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(FinaliseTest, EverySizeOfIndexEitherFitsOrGoesToTheEnd) {
  for (uint64_t reserve = 1024; reserve < 2600; reserve += 8) {
    SCOPED_TRACE(reserve);
    const TestRecording recording =
        MakeRecording({.seed = 20, .fragments = 20, .reserve_bytes = reserve});
    const auto plan = PlanFinalise(recording.map, recording.until);
    ASSERT_TRUE(plan.ok());
    const uint64_t moov =
        FinishedMoovBytes(recording.map.header, recording.map.index.counts(),
                          recording.until - recording.samples.back().time);
    EXPECT_EQ(plan->index_in_front, moov + 16 <= reserve);
    MemoryFile file = FinishedFile(recording);
    ASSERT_NO_FATAL_FAILURE(ExpectFinished(
        file, recording, recording.samples.size(), recording.until));
  }
}

// Files above 4 GiB and times above 2^32, without the bytes.
TEST(FinaliseTest, LargeOffsetsAndLongTimesTakeTheWideBoxes) {
  const TestRecording recording = MakeRecording({.seed = 21});
  FileMap map{recording.init.header, SampleIndex(kMemory), 7ull << 32};
  map.index.BeginChunk(5000);
  for (uint64_t i = 0; i < 5; ++i) {
    if (i == 3) map.index.BeginChunk(6ull << 32);
    map.index.Add(i << 30, 100, i == 0, 1);
  }
  const auto plan = PlanFinalise(map, 5ull << 30);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->duration_ticks, 5ull << 30);
  EXPECT_EQ(plan->file_bytes, 7ull << 32);

  // What the plan writes at the front, and a source that only pretends to have
  // the rest.
  class Sparse : public MemoryFile {
   public:
    uint64_t size() const override { return 7ull << 32; }
  } sparse;
  sparse.bytes = recording.bytes;
  for (const FinaliseStep& step : plan->steps) {
    if (step.kind == FinaliseStep::Kind::kWrite) {
      ASSERT_TRUE(sparse.WriteAt(step.offset, step.data).ok());
    }
  }
  const auto movie = ReadMovie(sparse, kMemory);
  ASSERT_TRUE(movie.ok()) << movie.status();
  EXPECT_EQ(movie->duration_ticks, 5ull << 30);
  EXPECT_EQ(SamplesOf(movie->index), SamplesOf(map.index));
  EXPECT_EQ(ScanFile(sparse).state, State::kFinished);
}

TEST(MovieReaderTest, RefusesWhatIsNotFinishedOrTooLarge) {
  const TestRecording recording = MakeRecording({.seed = 22});
  MemoryFile growing(recording.bytes);
  EXPECT_EQ(ReadMovie(growing, kMemory).status().code(),
            absl::StatusCode::kDataLoss);
  MemoryFile empty;
  EXPECT_EQ(ReadMovie(empty, kMemory).status().code(),
            absl::StatusCode::kDataLoss);
  MemoryFile finished = FinishedFile(recording);
  EXPECT_EQ(ReadMovie(finished, 500).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(ReadMovie(finished, kMemory).ok());
}

// Whatever byte of the index is wrong, the reader says so or gives samples that
// lie in the file.
TEST(MovieReaderTest, ADamagedIndexNeverPointsOutside) {
  const TestRecording recording = MakeRecording({.seed = 23, .fragments = 3});
  const MemoryFile good = FinishedFile(recording);
  std::mt19937 random(24);
  const auto moov_end =
      static_cast<size_t>(recording.init.header.moov_offset());
  int refused = 0;
  for (size_t at = 40; at < moov_end; ++at) {
    MemoryFile file(good.bytes);
    file.bytes[at] = static_cast<std::byte>(random());
    const auto movie = ReadMovie(file, kMemory);
    if (!movie.ok()) {
      ++refused;
      continue;
    }
    for (const IndexedSample& sample : SamplesOf(movie->index)) {
      ASSERT_LE(sample.offset, file.bytes.size());
      ASSERT_LE(sample.size, file.bytes.size() - sample.offset);
    }
  }
  EXPECT_GT(refused, 100);
}

TEST(BoxReaderTest, GivesZerosBehindTheEndAndSaysSo) {
  const ByteVector bytes = {std::byte{1}, std::byte{2}, std::byte{3}};
  ByteReader reader(bytes);
  EXPECT_EQ(reader.U16(), 0x0102);
  EXPECT_TRUE(reader.ok());
  EXPECT_EQ(reader.U16(), 0);
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.U8(), 0);
}

TEST(BoxReaderTest, StopsAtABoxThatDoesNotFit) {
  ByteVector bytes;
  BoxWriter w(bytes);
  w.End(w.Begin("good"));
  w.U32(1);  // 64-bit size.
  w.Text("wide");
  w.U64(17);
  w.U8(9);
  const size_t bad = bytes.size();
  for (const uint32_t size : {0u, 1u, 7u, 9u, 0xffff'ffffu}) {
    bytes.resize(bad);
    w.U32(size);
    w.Text("bad!");
    BoxCursor cursor(bytes);
    EXPECT_EQ(cursor.Next()->type, FourCc("good"));
    const auto wide = cursor.Next();
    ASSERT_TRUE(wide);
    EXPECT_EQ(wide->payload.size(), 1u);
    EXPECT_FALSE(cursor.Next());
    EXPECT_FALSE(cursor.at_end());
  }
}

}  // namespace
}  // namespace kine::mp4
