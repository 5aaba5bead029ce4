// Chapters in finished files and views: where they are, what there is room for,
// and what a player reads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "encode/mp4/box_reader.h"
#include "encode/mp4/finalise.h"
#include "encode/mp4/moov.h"
#include "encode/mp4/movie_reader.h"
#include "encode/mp4/scanner.h"
#include "encode/mp4/view.h"
#include "tests/mp4/real_video.h"
#include "tests/mp4/test_recording.h"

namespace kine::mp4 {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr size_t kMemoryMax = 1u << 20;

// What the text track says, read as a player does: tables, and texts by offset.
std::vector<Chapter> TrackOf(const ByteVector& file, const Movie& movie) {
  const auto moov = std::span<const std::byte>(file).subspan(
      static_cast<size_t>(movie.moov_offset) + 8,
      static_cast<size_t>(movie.moov_bytes) - 8);
  std::vector<Chapter> chapters;
  BoxCursor cursor(moov);
  int tracks = 0;
  while (const auto box = cursor.Next()) {
    if (box->type != FourCc("trak") || ++tracks != 2) continue;
    const auto mdia = FindBox(box->payload, FourCc("mdia"));
    const auto minf = FindBox(mdia->payload, FourCc("minf"));
    const auto stbl = FindBox(minf->payload, FourCc("stbl"))->payload;
    ByteReader stts(FindBox(stbl, FourCc("stts"))->payload);
    ByteReader stsz(FindBox(stbl, FourCc("stsz"))->payload);
    ByteReader co64(FindBox(stbl, FourCc("co64"))->payload);
    stts.Skip(4);
    stsz.Skip(8);
    co64.Skip(8);
    uint64_t at = co64.U64();
    uint64_t time = 0;
    stsz.U32();
    for (uint32_t left = stts.U32(); left > 0; --left) {
      ByteReader text(
          std::span<const std::byte>(file).subspan(static_cast<size_t>(at)));
      const auto title = text.Bytes(text.U16());
      chapters.push_back(
          {time, std::string(reinterpret_cast<const char*>(title.data()),
                             title.size())});
      stts.U32();
      time += stts.U32();
      at += stsz.U32();
    }
    EXPECT_EQ(time, movie.duration_ticks);
  }
  return chapters;
}

std::vector<Chapter> Every(uint64_t ticks, size_t count,
                           const std::string& title = "chapter") {
  std::vector<Chapter> chapters;
  for (size_t i = 0; i < count; ++i)
    chapters.push_back({i * ticks, absl::StrCat(title, " ", i)});
  return chapters;
}

struct Done {
  FinalisePlan plan;
  MemoryFile file;
  Movie movie;
};
Done Finish(const TestRecording& recording, PlanChapters chapters,
            CompactRule rule = {}) {
  Done done;
  auto plan =
      PlanFinalise(recording.map, recording.until, rule, std::move(chapters));
  EXPECT_TRUE(plan.ok()) << plan.status();
  done.plan = *std::move(plan);
  done.file = MemoryFile(recording.bytes);
  EXPECT_TRUE(RunPlan(done.plan, done.file).ok());
  EXPECT_EQ(done.file.bytes.size(), done.plan.file_bytes);
  auto movie = ReadMovie(done.file, kMemoryMax);
  EXPECT_TRUE(movie.ok()) << movie.status();
  done.movie = *std::move(movie);
  return done;
}

TEST(ChaptersTest, AreInTheFileWhereverItsIndexIsAndTheVideoIsAsItWas) {
  for (uint32_t seed = 0; seed < 40; ++seed) {
    SCOPED_TRACE(seed);
    RecordingShape shape;
    shape.seed = seed;
    // Every other index is at the end of the file.
    shape.fragments = seed % 2 == 0 ? 30 : 2 + static_cast<int>(seed) % 9;
    shape.reserve_bytes = seed % 2 == 0 ? 1024 : 8192;
    const TestRecording recording = MakeRecording(shape);
    const auto chapters = Every(700, 1 + seed % 20);

    Done done = Finish(recording, {chapters});

    EXPECT_EQ(done.plan.index_in_front, seed % 2 != 0);
    ExpectFinished(done.file, recording, recording.samples.size(),
                   recording.until);
    EXPECT_EQ(TrackOf(done.file.bytes, done.movie), chapters);
    EXPECT_EQ(done.plan.chapters, chapters.size());
    EXPECT_EQ(done.movie.chapters, chapters.size());
    // A recovery of what is finished cuts nothing off.
    const auto scan = Scan(done.file, {.index_memory_max = kMemoryMax});
    ASSERT_TRUE(scan.ok());
    EXPECT_EQ(scan->state, ScanResult::State::kFinished);
    EXPECT_EQ(scan->file.end, done.plan.file_bytes);
  }
}

TEST(ChaptersTest, TheFirstStandsWhereItIsAndEqualOnesFollowEachOther) {
  const TestRecording recording = MakeRecording({.reserve_bytes = 8192});
  const uint64_t end = recording.until;
  Done done = Finish(
      recording,
      {{{end + 1, "behind"}, {900, "b"}, {900, "c"}, {end, "last"}, {5, "a"}}});

  EXPECT_THAT(TrackOf(done.file.bytes, done.movie),
              ElementsAre(Chapter{0, ""}, Chapter{5, "a"}, Chapter{900, "b"},
                          Chapter{901, "c"}, Chapter{end - 1, "last"}));
  EXPECT_EQ(done.movie.chapters, 4u);
  EXPECT_EQ(done.plan.chapters, 4u);
  EXPECT_EQ(done.plan.chapters_left_out, 1u);
}

TEST(ChaptersTest, TakeOnlyWhatTheIndexLeavesOfTheReserve) {
  size_t before = 0;
  for (uint64_t reserve = 1024; reserve <= 6144; reserve += 8) {
    const TestRecording recording = MakeRecording({.reserve_bytes = reserve});
    if (!PlanFinalise(recording.map, recording.until)->index_in_front) continue;
    Done done = Finish(recording, {Every(10, 60)});
    ASSERT_TRUE(done.plan.index_in_front) << reserve;
    EXPECT_EQ(done.plan.chapters + done.plan.chapters_left_out, 60u);
    EXPECT_GE(done.plan.chapters, before);
    before = done.plan.chapters;
    EXPECT_EQ(TrackOf(done.file.bytes, done.movie),
              Every(10, done.plan.chapters));
  }
  EXPECT_EQ(before, 60u);
}

TEST(ChaptersTest, NeverTakeTheFileAboveItsLimit) {
  const TestRecording recording =
      MakeRecording({.fragments = 30, .reserve_bytes = 1024});
  const uint64_t none =
      PlanFinalise(recording.map, recording.until)->file_bytes;
  const uint64_t all =
      PlanFinalise(recording.map, recording.until, {}, {Every(10, 40)})
          ->file_bytes;
  size_t before = 0;
  for (uint64_t limit = none; limit <= all; ++limit) {
    const auto plan = PlanFinalise(recording.map, recording.until, {},
                                   {Every(10, 40), limit});
    ASSERT_LE(plan->file_bytes, limit);
    EXPECT_GE(plan->chapters, before);
    before = plan->chapters;
    EXPECT_EQ(plan->chapters == 40, limit == all);
  }
}

TEST(ChaptersTest, ViewsHaveThemAtTimesOfTheirOwn) {
  const CompactRule rule{20'000, 7};
  for (uint32_t seed = 0; seed < 40; ++seed) {
    SCOPED_TRACE(seed);
    RecordingShape shape;
    shape.seed = seed;
    shape.fragments = seed % 2 == 0 ? 30 : 3 + static_cast<int>(seed) % 9;
    shape.reserve_bytes = seed % 2 == 0 ? 1024 : 8192;
    const TestRecording recording = MakeRecording(shape);
    // At each sample: there both times are known.
    std::vector<Chapter> chapters;
    for (const IndexedSample& sample : SamplesOf(recording.map.index))
      chapters.push_back({sample.time, absl::StrCat("c", chapters.size())});

    Done compact = Finish(recording, {chapters}, rule);

    std::vector<Chapter> expected;
    for (const IndexedSample& sample : SamplesOf(compact.movie.index))
      expected.push_back({sample.time, absl::StrCat("c", expected.size())});
    EXPECT_EQ(TrackOf(compact.file.bytes, compact.movie), expected);
    // And as recorded, by another head in front of the same bytes.
    const auto recorded =
        ReadRecordedTimes(compact.file, compact.movie, recording.until);
    ASSERT_TRUE(recorded.ok());
    const auto view =
        BuildViewHead(compact.file, compact.movie, *recorded, chapters);
    ASSERT_TRUE(view.ok()) << view.status();
    MemoryFile file(view->head);
    const auto begin = compact.file.bytes.begin() +
                       static_cast<std::ptrdiff_t>(view->media_offset);
    file.bytes.insert(file.bytes.end(), begin,
                      begin + static_cast<std::ptrdiff_t>(view->media_bytes));
    const auto movie = ReadMovie(file, kMemoryMax);
    ASSERT_TRUE(movie.ok()) << movie.status();
    EXPECT_EQ(TrackOf(file.bytes, *movie), chapters);
    ExpectFinished(file, recording, recording.samples.size(), recording.until);
  }
}

TEST(ChaptersTest, FfprobeReadsAllOfThem) {
  if (!HaveCommand("ffprobe")) GTEST_SKIP() << "no ffprobe";
  const TempDir dir;
  for (const uint64_t reserve : {1024, 65536}) {
    const TestRecording recording =
        MakeRecording({.fragments = 30, .reserve_bytes = reserve});
    std::vector<Chapter> chapters = Every(9, 300);  // Above 8 bits.
    chapters.front().time = 4;
    chapters.back().title = "größer – the last";
    Done done = Finish(recording, {chapters});
    const std::string file = dir.Write("a.mp4", done.file.bytes);
    const Output probe = RunCommand(
        absl::StrCat("ffprobe -v error -of csv=p=0 -show_chapters ", file),
        dir);
    EXPECT_THAT(probe.out, HasSubstr(",1/90000,9,0.000100,18,"));
    EXPECT_THAT(probe.out, HasSubstr(",größer – the last\n"));
    // With what leads to the first.
    EXPECT_EQ(std::count(probe.out.begin(), probe.out.end(), '\n'), 301);
  }
}

}  // namespace
}  // namespace kine::mp4
