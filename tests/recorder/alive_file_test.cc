#include "daemon/recorder/alive_file.h"

#include <gtest/gtest.h>

#include <vector>

#include "daemon/base/limits.h"
#include "tests/fakes/fake_file_io.h"
#include "tests/fakes/fake_loop.h"

namespace kine {
namespace {

constexpr int kFd = 7;

std::vector<std::byte> TwoSlots(uint64_t first_sequence, uint64_t first_ticks,
                                uint64_t second_sequence,
                                uint64_t second_ticks) {
  std::vector<std::byte> file;
  for (const std::byte b : EncodeAliveSlot(first_sequence, first_ticks))
    file.push_back(b);
  for (const std::byte b : EncodeAliveSlot(second_sequence, second_ticks))
    file.push_back(b);
  return file;
}

TEST(AliveFileTest, TheNewerSlotCountsWhereverItLies) {
  EXPECT_EQ(DecodeAlive(TwoSlots(1, 100, 2, 200)), 200u);
  EXPECT_EQ(DecodeAlive(TwoSlots(3, 300, 2, 200)), 300u);
}

TEST(AliveFileTest, AnyDamagedByteLosesItsSlotAndNotTheOther) {
  for (size_t i = 0; i < kAliveSlotBytes; ++i) {
    SCOPED_TRACE(i);
    std::vector<std::byte> file = TwoSlots(3, 300, 2, 200);
    file[i] ^= std::byte{1};

    EXPECT_EQ(DecodeAlive(file), 200u);
  }
}

TEST(AliveFileTest, AFileCutAnywhereGivesTheWholeSlotsInIt) {
  const std::vector<std::byte> file = TwoSlots(1, 100, 2, 200);
  for (size_t length = 0; length <= file.size(); ++length) {
    SCOPED_TRACE(length);
    const auto seen = DecodeAlive(std::span(file).first(length));
    if (length < kAliveSlotBytes) {
      EXPECT_EQ(seen, std::nullopt);
    } else {
      EXPECT_EQ(seen, length < 2 * kAliveSlotBytes ? 100u : 200u);
    }
  }
}

class AliveWriterTest : public testing::Test {
 protected:
  AliveWriterTest()
      : loop_(world_.AddLoop("control")),
        disk_(&loop_),
        writer_(loop_, disk_, kFd, [this] { return ticks_; }) {}

  void Pass() {
    world_.Advance(absl::Milliseconds(limits::kAliveMs) +
                   absl::Milliseconds(1));
  }

  FakeWorld world_;
  FakeLoop& loop_;
  FakeFileIo disk_;
  uint64_t ticks_ = 10;
  AliveWriter writer_;
};

TEST_F(AliveWriterTest, OverwritesTheSlotsInTurnAndNeverSyncs) {
  world_.AddActor(disk_);
  writer_.Run();
  for (uint64_t i = 1; i <= 5; ++i) {
    ticks_ = 1'000 * i;
    Pass();
    EXPECT_EQ(DecodeAlive(disk_.Contents(kFd)), ticks_);
  }

  EXPECT_EQ(disk_.Contents(kFd).size(), kAliveFileBytes);
  EXPECT_EQ(disk_.counts().writes, 5u);
  EXPECT_EQ(disk_.counts().syncs, 0u);
  world_.RemoveActor(disk_);
}

TEST_F(AliveWriterTest, ASlowDiskGetsOneNoteAtATime) {
  writer_.Run();
  for (int i = 0; i < 4; ++i) Pass();

  EXPECT_EQ(disk_.queued(), 1u);
}

TEST_F(AliveWriterTest, StopWaitsForTheNoteUnderWay) {
  writer_.Run();
  Pass();
  bool stopped = false;
  writer_.Stop([&] { stopped = true; });
  EXPECT_FALSE(stopped);

  disk_.RunAll();
  world_.Settle();

  EXPECT_TRUE(stopped);
  EXPECT_EQ(loop_.timer_count(), 0u);
}

}  // namespace
}  // namespace kine
