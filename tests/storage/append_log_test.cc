#include "daemon/storage/append_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "daemon/base/limits.h"
#include "daemon/base/status.h"
#include "daemon/storage/blocking_io.h"
#include "tests/fakes/fake_file_io.h"
#include "tests/fakes/fake_loop.h"
#include "tests/storage/storage_rig.h"

namespace kine {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// The fake's name for the log's file; AppendLog closes descriptors, so none
// that exists.
constexpr int kFd = 1'000'000;

struct Read {
  std::vector<std::string> lines;
  LogSummary summary;
};

Read ReadText(std::string_view text) {
  const UniqueFd file = MemoryFile(text);
  Read read;
  read.summary = ReadAppendLog(file.get(), [&](absl::string_view line) {
                   read.lines.emplace_back(line.data(), line.size());
                 }).value();
  return read;
}

class AppendLogTest : public testing::Test {
 protected:
  std::vector<std::string> Lines() {
    const Read read = ReadText(TextOf(disk_.Contents(kFd)));
    EXPECT_FALSE(read.summary.damaged);
    return read.lines;
  }
  FileIo::Done Into(std::vector<absl::Status>& results) {
    return [&results](absl::Status s) { results.push_back(std::move(s)); };
  }

  FakeWorld world_{3};
  FakeLoop& loop_ = world_.AddLoop("control");
  FakeFileIo disk_{&loop_};
  std::vector<absl::Status> errors_;
  AppendLog log_{loop_, disk_, UniqueFd(kFd), 0, Into(errors_)};
};

TEST_F(AppendLogTest, LinesAreCollectedAndWrittenTogether) {
  world_.AddActor(disk_);
  EXPECT_EQ(log_.Append(R"({"t":1})"), absl::OkStatus());
  EXPECT_EQ(log_.Append(R"({"t":2})"), absl::OkStatus());
  world_.Advance(absl::Milliseconds(limits::kLogFlushMs - 1));
  EXPECT_EQ(disk_.counts().writes, 0u);

  world_.Advance(absl::Milliseconds(2));
  EXPECT_EQ(disk_.counts().writes, 1u);
  EXPECT_THAT(Lines(), ElementsAre(R"({"t":1})", R"({"t":2})"));
  EXPECT_EQ(log_.written_bytes(), disk_.Contents(kFd).size());

  world_.Advance(absl::Seconds(10));
  EXPECT_EQ(disk_.counts().writes, 1u) << "nothing changed";
  EXPECT_EQ(disk_.counts().syncs, 0u);
  EXPECT_EQ(loop_.timer_count(), 0u);
}

TEST_F(AppendLogTest, AppendNowAnswersOnlyAfterWriteAndSync) {
  std::vector<absl::Status> results;
  EXPECT_EQ(log_.Append(R"({"t":1})"), absl::OkStatus());
  log_.AppendNow(R"({"t":2})", Into(results));
  ASSERT_EQ(disk_.queued(), 1u) << "at once";

  disk_.RunOne();
  world_.Settle();
  EXPECT_THAT(results, IsEmpty());
  disk_.RunOne();
  world_.Settle();

  EXPECT_THAT(results, ElementsAre(absl::OkStatus()));
  EXPECT_EQ(disk_.counts().syncs, 1u);
  EXPECT_EQ(disk_.AfterPowerLoss(kFd, 1), disk_.Contents(kFd));
  EXPECT_THAT(Lines(), ElementsAre(R"({"t":1})", R"({"t":2})"));
}

TEST_F(AppendLogTest, FlushAnswersAfterTheWriteAndSyncsNothing) {
  std::vector<absl::Status> results;
  log_.Flush(Into(results));
  EXPECT_THAT(results, IsEmpty()) << "never inside the call";
  world_.Settle();
  EXPECT_EQ(results.size(), 1u) << "nothing is waiting";
  EXPECT_EQ(log_.Append(R"({"t":1})"), absl::OkStatus());
  log_.Flush(Into(results));
  ASSERT_EQ(disk_.queued(), 1u) << "at once";
  EXPECT_EQ(log_.Append(R"({"t":2})"), absl::OkStatus());
  log_.Flush(Into(results));
  disk_.RunOne();
  world_.Settle();
  EXPECT_EQ(results.size(), 2u);
  disk_.RunOne();
  world_.Settle();

  EXPECT_THAT(results, ElementsAre(absl::OkStatus(), absl::OkStatus(),
                                   absl::OkStatus()));
  EXPECT_EQ(disk_.counts().syncs, 0u);
  EXPECT_THAT(Lines(), ElementsAre(R"({"t":1})", R"({"t":2})"));
  // Together with one that has to be synced, and with an error.
  disk_.FailNext(0, EIO);
  log_.AppendNow(R"({"t":3})", Into(results));
  log_.Flush(Into(results));
  disk_.RunOne();
  world_.Settle();
  ASSERT_EQ(results.size(), 5u);
  EXPECT_EQ(ErrnoOf(results[3]), EIO);
  EXPECT_EQ(ErrnoOf(results[4]), EIO);
}

// Each write finds a new line waiting when it ends; the sync must come anyway.
TEST_F(AppendLogTest, ABusyLogStillComesToSync) {
  std::vector<absl::Status> results;
  log_.AppendNow(R"({"t":0})", Into(results));
  for (int i = 1; i < 20 && results.empty(); ++i) {
    log_.AppendNow(absl::StrCat(R"({"t":)", i, "}"), [](absl::Status) {});
    ASSERT_EQ(disk_.queued(), 1u);
    disk_.RunOne();
    world_.Settle();
  }
  EXPECT_THAT(results, ElementsAre(absl::OkStatus()));
  EXPECT_LE(disk_.counts().writes, 2u);
}

TEST_F(AppendLogTest, TheFirstErrorIsFinalAndToldToAll) {
  for (const bool in_sync : {false, true}) {
    SCOPED_TRACE(in_sync);
    errors_.clear();
    FakeFileIo disk(&loop_);
    AppendLog log(loop_, disk, UniqueFd(kFd), 0, Into(errors_));
    std::vector<absl::Status> results;
    disk.FailNext(in_sync ? 1 : 0, EIO);
    log.AppendNow(R"({"t":1})", Into(results));
    log.Sync(Into(results));
    for (int i = 0; i < 3 && disk.HasWork(); ++i) {
      disk.RunOne();
      world_.Settle();
    }

    ASSERT_EQ(results.size(), 2u);
    EXPECT_EQ(ErrnoOf(results[0]), EIO);
    EXPECT_EQ(ErrnoOf(results[1]), EIO);
    ASSERT_EQ(errors_.size(), 1u);
    EXPECT_EQ(ErrnoOf(log.Append(R"({"t":2})")), EIO);
    log.Close(Into(results));
    EXPECT_EQ(results.size(), 2u) << "never inside the call";
    world_.Settle();
    ASSERT_EQ(results.size(), 3u);
    EXPECT_EQ(ErrnoOf(results[2]), EIO);
    EXPECT_FALSE(disk.HasWork()) << "a failed sync is never repeated";
  }
}

TEST_F(AppendLogTest, CloseWritesAndSyncsWhatIsLeft) {
  std::vector<absl::Status> results;
  auto log = std::make_unique<AppendLog>(loop_, disk_, UniqueFd(kFd), 0,
                                         [](absl::Status) {});
  EXPECT_EQ(log->Append(R"({"t":1})"), absl::OkStatus());
  log->Close([&](absl::Status s) {
    results.push_back(std::move(s));
    log = nullptr;
  });
  while (disk_.HasWork()) {
    disk_.RunOne();
    world_.Settle();
  }
  EXPECT_THAT(results, ElementsAre(absl::OkStatus()));
  EXPECT_EQ(log, nullptr);
  EXPECT_THAT(Lines(), ElementsAre(R"({"t":1})"));
  EXPECT_EQ(disk_.counts().syncs, 1u);
}

TEST_F(AppendLogTest, ASlowDiskCostsLinesNotMemory) {
  const std::string line =
      absl::StrCat(R"({"k":")", std::string(60'000, 'x'), "\"}");
  absl::Status status;
  int taken = 0;
  while (taken < 100 && (status = log_.Append(line)).ok()) ++taken;
  EXPECT_TRUE(absl::IsResourceExhausted(status));
  EXPECT_EQ(taken, static_cast<int>(limits::kLogBufferBytesMax / 60'028));
  EXPECT_TRUE(absl::IsResourceExhausted(log_.Append(absl::StrCat(
      R"({"k":")", std::string(limits::kLogLineBytesMax, 'x'), "\"}"))));
  EXPECT_EQ(log_.status(), absl::OkStatus()) << "not broken by that";
}

TEST_F(AppendLogTest, AfterPowerLossEveryConfirmedLineIsThere) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    FakeWorld world(seed);
    FakeLoop& loop = world.AddLoop("control");
    FakeFileIo disk(&loop);
    world.AddActor(disk);
    AppendLog log(loop, disk, UniqueFd(kFd), 0, [](absl::Status) {});
    std::vector<std::string> lines;
    size_t confirmed = 0;
    for (int i = 0; i < 30; ++i) {
      lines.push_back(absl::StrCat(R"({"i":)", i, R"(,"x":")",
                                   std::string(world.Random(900), 'y'), "\"}"));
      if (world.Chance(0.3)) {
        log.AppendNow(lines.back(),
                      [&confirmed, n = lines.size()](absl::Status s) {
                        ASSERT_EQ(s, absl::OkStatus());
                        confirmed = n;
                      });
      } else {
        ASSERT_EQ(log.Append(lines.back()), absl::OkStatus());
      }
      for (uint64_t n = world.Random(6); n > 0; --n) world.Step();
      const Read read = ReadText(TextOf(disk.AfterPowerLoss(kFd, seed)));
      ASSERT_GE(read.lines.size(), confirmed);
      ASSERT_LE(read.lines.size(), lines.size());
      ASSERT_TRUE(
          std::equal(read.lines.begin(), read.lines.end(), lines.begin()));
    }
    ASSERT_TRUE(world.RunUntilIdle());
    ASSERT_EQ(ReadText(TextOf(disk.Contents(kFd))).lines, lines);
  }
}

TEST(AppendLogReaderTest, TheSealIsTheCrc32cOfTheLineBeforeIt) {
  // CRC-32C of `{"a":1`, computed by an independent implementation.
  EXPECT_EQ(SealLine(R"({"a":1})"), "{\"a\":1,\"crc\":\"149cdbb2\"}\n");
}

TEST(AppendLogReaderTest, CutAnywhereItGivesTheWholeLinesBefore) {
  const std::string one = SealLine(R"({"t":1,"k":"move"})");
  const std::string two = SealLine(R"({"t":2})");
  const std::string all = one + two;
  for (size_t cut = 0; cut <= all.size(); ++cut) {
    SCOPED_TRACE(cut);
    const Read read = ReadText(all.substr(0, cut));
    const size_t whole =
        cut < one.size() ? 0 : (cut < all.size() ? one.size() : all.size());
    EXPECT_EQ(read.summary.good_bytes, whole);
    EXPECT_EQ(read.summary.damaged, cut != whole);
    EXPECT_EQ(read.lines.size(), read.summary.lines);
    EXPECT_EQ(read.lines.size(), whole == 0 ? 0u : cut < all.size() ? 1u : 2u);
  }
}

TEST(AppendLogReaderTest, AnyFlippedBitEndsTheReadingThere) {
  const std::string one = SealLine(R"({"t":1})");
  const std::string all = one + SealLine(R"({"t":2})");
  for (size_t bit = 0; bit < one.size() * 8; ++bit) {
    std::string damaged = all;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    const Read read = ReadText(damaged);
    EXPECT_THAT(read.lines, IsEmpty()) << bit;
    EXPECT_TRUE(read.summary.damaged);
  }
}

TEST(AppendLogReaderTest, ReadsMoreThanOneBufferful) {
  std::string all;
  for (int i = 0; i < 20'000; ++i)
    all += SealLine(absl::StrCat(R"({"i":)", i, R"(,"pad":"0123456789"})"));
  const Read read = ReadText(all);
  EXPECT_FALSE(read.summary.damaged);
  EXPECT_EQ(read.summary.good_bytes, all.size());
  ASSERT_EQ(read.lines.size(), 20'000u);
  EXPECT_EQ(read.lines.back(), R"({"i":19999,"pad":"0123456789"})");
  // A line without end.
  EXPECT_EQ(ReadText(all + std::string(1u << 20, 'x')).lines.size(), 20'000u);
}

TEST(AppendLogReaderTest, RecoveryCutsAndAppendingGoesOn) {
  const std::string good = SealLine(R"({"t":1})");
  const UniqueFd file = MemoryFile(good + R"({"t":2,"crc":"00000000"})" + "\n" +
                                   SealLine(R"({"t":3})"));
  const LogSummary summary = RecoverAppendLog(file.get()).value();
  EXPECT_TRUE(summary.damaged);
  EXPECT_EQ(summary.good_bytes, good.size());
  EXPECT_EQ(TextOf(ReadAll(file.get())), good);

  FakeWorld world;
  FakeLoop& loop = world.AddLoop("control");
  FakeFileIo disk(&loop);
  world.AddActor(disk);
  disk.SetContents(kFd, BytesOf(good));
  AppendLog log(loop, disk, UniqueFd(kFd), summary.good_bytes,
                [](absl::Status) {});
  EXPECT_EQ(log.Append(R"({"t":4})"), absl::OkStatus());
  ASSERT_TRUE(world.RunUntilIdle());
  EXPECT_THAT(ReadText(TextOf(disk.Contents(kFd))).lines,
              ElementsAre(R"({"t":1})", R"({"t":4})"));
}

}  // namespace
}  // namespace kine
