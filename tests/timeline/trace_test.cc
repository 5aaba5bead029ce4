// The ring that the pipeline is traced in, what is kept of it, and what a
// viewer sees.
#include "daemon/base/limits/trace.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "daemon/storage/directory.h"
#include "daemon/timeline/trace_ring.h"
#include "tests/fakes/trace_events.h"

namespace kine {
namespace {

using testing::ElementsAre;
using testing::FieldsAre;
using testing::Optional;

constexpr int64_t kMilli = 1'000'000;
constexpr int64_t kBegin = 1'000'000'000;

MonoTime At(int64_t millis) {
  return MonoTime::FromNanos(kBegin + millis * kMilli);
}
int64_t Nanos(int64_t millis) { return At(millis).nanos(); }

// Shown at `millis`, here 1 ms later, encoded from 4 to 10.
TracePacket Picture(int64_t millis) {
  TracePacket packet;
  packet.time = Nanos(millis);
  packet.arrival = Nanos(millis + 1);
  packet.encode_start = Nanos(millis + 4);
  packet.encode_end = Nanos(millis + 10);
  packet.bytes = 1'000;
  packet.queue_packets = 1;
  packet.queue_bytes = 1'000;
  return packet;
}

class TraceTest : public testing::Test {
 protected:
  TraceTest() : memory_(*MakeTraceMemory()), ring_(*TraceRing::Map(memory_)) {}

  // Of everything that was added.
  std::vector<TraceEvent> Events() {
    const absl::StatusOr<Trace> trace = ReadTrace(memory_.get());
    EXPECT_TRUE(trace.ok()) << trace.status();
    json_ = TraceJson(*trace, "a");
    return ParseTrace(json_);
  }

  void AddFragment(TraceKind kind, int64_t millis, uint64_t number) {
    TraceFragment fragment;
    fragment.number = number;
    ring_->Add(At(millis), kind, fragment);
  }

  UniqueFd memory_;
  std::shared_ptr<TraceRing> ring_;
  std::string json_;
};

TEST_F(TraceTest, APictureHasALaneFromItsStampToTheDisk) {
  ring_->NameThread(TraceRing::Thread::kEncode);
  TracePacket packet = Picture(0);
  packet.flags = TracePacket::kKeyframe;
  packet.stalled = Nanos(2);
  packet.replaced = 3;
  packet.unchanged = 5;
  packet.convert_ns = 2 * kMilli;
  ring_->Add(At(11), packet);
  AddFragment(TraceKind::kFragment, 500, 1);
  AddFragment(TraceKind::kWrite, 501, 1);
  AddFragment(TraceKind::kWritten, 510, 1);
  AddFragment(TraceKind::kDurable, 530, 1);
  ring_->Note(At(600), "paused", "by \"hand\"");
  ring_->Add(At(611), Picture(600));

  const std::vector<TraceEvent> events = Events();

  const auto frames = LanesOf(events, "frame");
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_THAT(
      frames.at("0x1"),
      ElementsAre(FieldsAre("frame", Nanos(0), Optional(Nanos(530))),
                  FieldsAre("to us", Nanos(0), Optional(Nanos(1))),
                  FieldsAre("mailbox", Nanos(1), Optional(Nanos(4))),
                  FieldsAre("no credit", Nanos(2), Optional(Nanos(4))),
                  FieldsAre("encode", Nanos(4), Optional(Nanos(10))),
                  FieldsAre("to control", Nanos(10), Optional(Nanos(11))),
                  FieldsAre("collect", Nanos(11), Optional(Nanos(500))),
                  FieldsAre("to disk", Nanos(500), Optional(Nanos(530)))));
  EXPECT_EQ(CheckFrameLanes(events), 1);
  EXPECT_EQ(frames.at("0x7").front().to_ns, std::nullopt);
  EXPECT_THAT(LanesOf(events, "fragment").at("0x1"),
              ElementsAre(FieldsAre("fragment", Nanos(500), Nanos(530)),
                          FieldsAre("queue", Nanos(500), Nanos(501)),
                          FieldsAre("write", Nanos(501), Nanos(510)),
                          FieldsAre("sync", Nanos(510), Nanos(530))));
  EXPECT_EQ(CountOf(events, "convert", "X"), 1);
  for (const char* name : {"lost", "unchanged", "no credit", "keyframe"})
    EXPECT_EQ(CountOf(events, name), 1) << name;
  for (const TraceEvent& event : events) {
    EXPECT_EQ(event.pid, ::getpid());
    if (event.name == "lost") {
      EXPECT_EQ(event.numbers.at("frames"), 3);
    }
    if (event.name == "convert") {
      EXPECT_EQ(event.at_ns, Nanos(4));
      EXPECT_EQ(event.length_ns, 2 * kMilli);
    }
    if (event.name == "unchanged") {
      EXPECT_EQ(event.numbers.at("frames"), 5);
    }
    if (event.name == "paused") {
      EXPECT_EQ(event.texts.at("text"), "by \"hand\"");
    }
    if (event.name == "encode" && event.phase == "X") {
      EXPECT_EQ(event.tid, ::gettid());
      EXPECT_EQ(event.length_ns, 6 * kMilli);
    }
  }
}

TEST_F(TraceTest, ASyncIsThatOfAllFragmentsBeforeIt) {
  for (uint64_t number : {1u, 2u}) {
    ring_->Add(At(11), Picture(0));
    AddFragment(TraceKind::kFragment, 500, number);
    AddFragment(TraceKind::kWrite, 501, number);
    AddFragment(TraceKind::kWritten, 510, number);
  }
  AddFragment(TraceKind::kDurable, 900, 2);

  const std::vector<TraceEvent> events = Events();

  EXPECT_EQ(CheckFrameLanes(events), 2);
  for (const auto& [id, lane] : LanesOf(events, "frame"))
    EXPECT_EQ(lane.front().to_ns, Nanos(900)) << id;
}

TEST_F(TraceTest, TheNewestAreKeptInOrderAndTheirTextIsBounded) {
  constexpr uint64_t kAll = 3 * limits::kTraceRecords + 7;
  TracePacket full = Picture(0);
  full.flags = TracePacket::kKeyframe;
  full.stalled = Nanos(2);
  // The largest numbers that there are.
  full.convert_ns = full.queue_bytes = UINT32_MAX;
  full.queue_packets = full.bytes = full.damaged_macroblocks = UINT32_MAX;
  full.replaced = full.unchanged = UINT32_MAX;
  for (uint64_t i = 1; i <= kAll; ++i)
    ring_->Add(At(static_cast<int64_t>(i)), full);

  const absl::StatusOr<Trace> trace = ReadTrace(memory_.get());

  ASSERT_TRUE(trace.ok());
  // Of one it cannot be known whether it is being overwritten.
  ASSERT_EQ(trace->records.size(), limits::kTraceRecords - 1);
  for (size_t i = 0; i < trace->records.size(); ++i)
    ASSERT_EQ(trace->records[i].number, kAll - trace->records.size() + 1 + i);
  EXPECT_FALSE(Events().empty());
  EXPECT_LE(json_.size(),
            limits::kTraceRecords * limits::kTraceRecordJsonBytes);
}

TEST_F(TraceTest, WhatIsKeptReadsBackAndDamageIsSeen) {
  const std::string directory =
      absl::StrCat(testing::TempDir(), "/kine-trace-", ::getpid());
  std::filesystem::create_directory(directory);
  const UniqueFd dir(::open(directory.c_str(), O_DIRECTORY | O_CLOEXEC));
  ring_->Add(At(11), Picture(0));
  ring_->Note(At(12), "format", "320x240");
  Events();
  const std::string before = json_;
  ASSERT_TRUE(KeepTrace(dir.get(), *ReadTrace(memory_.get())).ok());

  const std::string path = absl::StrCat(directory, "/", kTraceFileName);
  memory_ = UniqueFd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  Events();
  EXPECT_EQ(json_, before);

  ASSERT_EQ(::pwrite(memory_.get(), "x", 1, 100), 1);
  EXPECT_TRUE(absl::IsDataLoss(ReadTrace(memory_.get()).status()));
  ASSERT_EQ(::ftruncate(memory_.get(), 10), 0);
  EXPECT_TRUE(absl::IsDataLoss(ReadTrace(memory_.get()).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(TraceRing::Map(memory_).status()));
  std::filesystem::remove_all(directory);
}

TEST_F(TraceTest, ItsMemoryCannotBeTakenAway) {
  EXPECT_NE(::ftruncate(memory_.get(), 0), 0);
}

// What cannot be is not worked with: whoever writes it may have lost its mind.
TEST_F(TraceTest, WhatCannotBeIsLeftOut) {
  TracePacket packet = Picture(0);
  packet.encode_start = INT64_MIN;
  packet.encode_end = INT64_MAX;
  ring_->Add(At(1), packet);
  ring_->Add(At(1), static_cast<TraceKind>(77), TraceFragment());
  ring_->Add(At(11), Picture(0));
  EXPECT_EQ(ReadTrace(memory_.get())->records.size(), 1u);
}

TEST_F(TraceTest, WhoReadsMeanwhileSeesOnlyWholeRecords) {
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    for (uint64_t i = 1; !stop; ++i) {
      TracePacket packet;
      packet.time = packet.arrival = packet.encode_start = packet.encode_end =
          static_cast<int64_t>(i);
      packet.queue_bytes = static_cast<uint32_t>(i);
      packet.bytes = static_cast<uint32_t>(i);
      ring_->Add(MonoTime::FromNanos(static_cast<int64_t>(i)), packet);
    }
  });
  uint64_t newest = 0;
  for (int reads = 0;
       (reads < 300 || newest < 20 * limits::kTraceRecords) && !HasFailure();
       ++reads) {
    const absl::StatusOr<Trace> trace = ReadTrace(memory_.get());
    EXPECT_TRUE(trace.ok());
    for (const TraceRecord& record : trace->records) {
      const auto expected = static_cast<int64_t>(record.number);
      const TracePacket& p = record.packet;
      newest = std::max(newest, record.number);
      if (record.at == expected && p.time == expected &&
          p.arrival == expected && p.encode_end == expected &&
          p.queue_bytes == static_cast<uint32_t>(record.number) &&
          p.bytes == static_cast<uint32_t>(record.number))
        continue;
      ADD_FAILURE() << "torn: " << record.number;
      break;
    }
  }
  stop = true;
  writer.join();
}

}  // namespace
}  // namespace kine
