#include "daemon/recorder/video_writer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cerrno>
#include <optional>
#include <utility>
#include <vector>

#include "daemon/base/limits.h"
#include "daemon/base/limits/live.h"
#include "daemon/recorder/fd_byte_source.h"
#include "encode/mp4/movie_reader.h"
#include "tests/fakes/fake_file_io.h"
#include "tests/fakes/fake_loop.h"
#include "tests/recorder/sim_encoder.h"

namespace kine {
namespace {

class VideoWriterTest : public testing::Test, private VideoWriter::Client {
 protected:
  VideoWriterTest() : loop_(world_.AddLoop("control")), disk_(&loop_) {
    disk_.set_write_through(true);
    options_.max_bytes = limits::kMaxBytesMin;
    options_.reserve_bytes = 64u << 10;
    options_.queue_packets = 96;
    options_.check_free_space = [](int) { return absl::OkStatus(); };
  }
  ~VideoWriterTest() override {
    if (disk_runs_) world_.RemoveActor(disk_);
  }

  VideoWriter& writer() {
    if (!writer_.has_value()) {
      RecordingFiles files;
      files.video = UniqueFd(::memfd_create("video", MFD_CLOEXEC));
      files.alive = UniqueFd(::memfd_create("alive", MFD_CLOEXEC));
      video_ = files.video.get();
      alive_ = files.alive.get();
      VideoWriter::Client& client = *this;
      writer_.emplace(loop_, disk_, std::move(files), options_, client);
    }
    return *writer_;
  }

  void RunDisk() {
    disk_runs_ = true;
    world_.AddActor(disk_);
  }

  void Add(size_t slice_bytes = 100, int width = 64, uint32_t damaged = 0,
           bool keyframe = false) {
    Packet packet;
    packet.keyframe = keyframe || serial_ == 0 || width != width_;
    packet.damaged_macroblocks = damaged;
    packet.data = MakeAccessUnit(packet.keyframe, serial_++, slice_bytes);
    packet.time = world_.Now();
    packet.width = packet.true_width = width_ = width;
    packet.height = packet.true_height = 48;
    writer().Add(std::make_shared<const Packet>(std::move(packet)));
  }

  // The result of Finish(), at `now`.
  absl::StatusOr<FinaliseResult> Finish() {
    absl::StatusOr<FinaliseResult> out = absl::UnknownError("never done");
    bool done = false;
    writer().Finish(world_.Now(), [&](absl::StatusOr<FinaliseResult> r) {
      out = std::move(r);
      done = true;
    });
    EXPECT_FALSE(done) << "inside the call";
    world_.Settle();
    EXPECT_TRUE(done);
    return out;
  }

  // Finishes while the oldest operation lies on the disk until all others are
  // done: true when `done` came after it.
  bool DoneAfterAllButTheFirst() {
    bool done = false;
    writer().Finish(world_.Now(),
                    [&](absl::StatusOr<FinaliseResult>) { done = true; });
    world_.Settle();
    while (disk_.queued() > 1) {
      disk_.RunOne(1);
      world_.Settle();
    }
    const bool early = done;
    disk_.RunAll();
    world_.Settle();
    return done && !early;
  }

  void Millis(int64_t n) { world_.Advance(absl::Milliseconds(n)); }

  FakeWorld world_;
  FakeLoop& loop_;
  FakeFileIo disk_;
  VideoWriter::Options options_;
  int video_ = -1;
  int alive_ = -1;
  uint32_t serial_ = 0;
  int width_ = 64;
  bool disk_runs_ = false;
  int credits_ = 0;
  std::vector<link::EndReason> ends_;
  int refused_reservations_ = 0;
  mp4::FileHeader head_;
  int samples_needed_ = 0;
  std::vector<link::Fragment> fragments_;
  std::optional<VideoWriter> writer_;

 private:
  void OnCredits(int packets, uint64_t) override { credits_ += packets; }
  void OnMustEnd(link::EndReason reason, absl::Status) override {
    ends_.push_back(reason);
  }
  void OnHead(const mp4::FileHeader& header) override { head_ = header; }
  void OnFragment(link::Fragment fragment) override {
    EXPECT_LE(fragment.mdat_offset + fragment.mdat_bytes,
              disk_.Contents(video_).size());
    fragments_.push_back(std::move(fragment));
  }
  void OnCannotReserve(absl::Status) override { ++refused_reservations_; }
  void OnNeedsSample() override { ++samples_needed_; }
};

TEST_F(VideoWriterTest, AFragmentIsDurableHalfASecondAfterItsFirstSample) {
  RunDisk();
  Add();
  for (int i = 0; i < 4; ++i) {
    Millis(100);
    Add();
  }
  EXPECT_EQ(writer().durable_bytes(), 0u);
  EXPECT_EQ(credits_, 0);

  Millis(limits::kFragmentMs - 400 + 1);

  EXPECT_GT(writer().durable_bytes(), options_.reserve_bytes);
  EXPECT_EQ(credits_, 5);
  EXPECT_EQ(disk_.counts().syncs, 1u);
}

TEST_F(VideoWriterTest, AStillScreenCostsOneSmallWriteEveryHalfSecond) {
  RunDisk();
  Add();
  Millis(limits::kFragmentMs + 10);
  const FakeFileIo::Counts before = disk_.counts();

  Millis(60'000);

  // A note is left out when the disk was not done with the one before.
  const size_t notes = disk_.counts().writes - before.writes;
  EXPECT_LE(notes, 60'000u / static_cast<uint64_t>(limits::kAliveMs));
  EXPECT_GE(notes, 60u);
  EXPECT_EQ(disk_.counts().syncs, before.syncs);
  EXPECT_EQ(disk_.counts().runs, before.runs);
  EXPECT_EQ(loop_.timer_count(), 1u);
  const auto alive = DecodeAlive(disk_.Contents(alive_));
  ASSERT_TRUE(alive.has_value());
  EXPECT_NEAR(static_cast<double>(*alive), 90'000.0 * 60.5, 90'000.0 * 0.5);
}

TEST_F(VideoWriterTest, NobodyVouchesForAPictureWhoseSourceIsGone) {
  RunDisk();
  Add();
  Millis(100);
  writer().SetPictureKnown(false);
  world_.Settle();
  EXPECT_GT(writer().durable_bytes(), 0u) << "the fragment was not closed";

  Millis(10'000);
  EXPECT_EQ(disk_.Contents(alive_).size(), 0u);

  Add();
  Millis(2'000);
  EXPECT_GT(disk_.Contents(alive_).size(), 0u);
}

TEST_F(VideoWriterTest, APauseIsDurableAtOnceAndNoTimeOfTheFile) {
  RunDisk();
  Add();
  Millis(100);
  writer().Pause(world_.Now());
  const MonoTime in_pause = world_.Now() + absl::Milliseconds(5'000);
  world_.Settle();
  EXPECT_GT(writer().durable_bytes(), 0u) << "the fragment was not closed";

  Millis(10'000);
  EXPECT_EQ(disk_.Contents(alive_).size(), 0u);
  Add();  // Was on its way already.
  world_.Settle();
  EXPECT_EQ(credits_, 2) << "waits for the end of the pause";
  writer().Resume(world_.Now());
  EXPECT_EQ(writer().MediaTime(in_pause), absl::Milliseconds(100));
  Add();
  Millis(250);

  EXPECT_EQ(writer().MediaTime(world_.Now()), absl::Milliseconds(350));
  EXPECT_EQ(Finish()->duration_ticks, 350u * 90);
}

TEST_F(VideoWriterTest, WhoWatchesGetsShortFragmentsThatBeginWithKeyframes) {
  RunDisk();
  Add(100, 64, 5);
  Millis(limits::kFragmentMs + 10);
  EXPECT_TRUE(fragments_.empty());
  writer().SetWatched(true);
  Add(100, 64, 5);
  Millis(50);
  Add(100, 64, 5, /*keyframe=*/true);
  Millis(50);
  Add(100, 64, 5);
  world_.Settle();
  ASSERT_EQ(fragments_.size(), 1u) << "closed before the keyframe";
  EXPECT_FALSE(fragments_[0].keyframe);

  Millis(limits::kLiveFragmentMs);

  ASSERT_EQ(fragments_.size(), 2u);
  EXPECT_TRUE(fragments_[1].keyframe);
  EXPECT_EQ(fragments_[1].moof.size(), mp4::MoofBytes(2));
  EXPECT_EQ(fragments_[1].last_ticks - fragments_[1].first_ticks, 50u * 90);
  EXPECT_EQ(fragments_[1].mdat_offset, fragments_[0].mdat_offset +
                                           fragments_[0].mdat_bytes +
                                           fragments_[1].moof.size());
  // A picture without a change has nothing to wait for.
  Add(100, 64, 0);
  world_.Settle();
  EXPECT_EQ(fragments_.size(), 3u);
  writer().SetWatched(false);
  Add(100, 64, 5);
  Millis(1'000);
  EXPECT_EQ(fragments_.size(), 3u);
  const auto result = Finish();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->samples, 6u);
}

TEST_F(VideoWriterTest, StopCostsTwoSyncsAndLastsUntilThen) {
  RunDisk();
  Add();
  Millis(100);
  Add();
  Millis(250);

  const auto result = Finish();

  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(disk_.counts().syncs, 2u);
  EXPECT_EQ(result->samples, 2u);
  EXPECT_EQ(result->duration_ticks, 350u * 90);
  EXPECT_TRUE(result->index_in_front);
  EXPECT_EQ(loop_.timer_count(), 0u);
}

TEST_F(VideoWriterTest, DurabilityFinishSyncsOnlyAtTheEnd) {
  options_.sync_fragments = false;
  RunDisk();
  Add();
  Millis(600);
  Add();
  Millis(600);

  EXPECT_EQ(disk_.counts().syncs, 0u);
  EXPECT_EQ(credits_, 2);
  EXPECT_EQ(writer().durable_bytes(), 0u);
  EXPECT_TRUE(Finish().ok());
}

TEST_F(VideoWriterTest, ASmallQueueIsNotHeldUpByTheClock) {
  options_.queue_packets = 4;
  RunDisk();
  Add();
  Add();
  world_.Settle();

  EXPECT_EQ(credits_, 2);
}

TEST_F(VideoWriterTest, TheHeadIsToldOnceItIsWritten) {
  Add();
  world_.Settle();
  EXPECT_EQ(head_.moov_bytes, 0u) << "nothing was written yet";

  RunDisk();
  Millis(1);

  EXPECT_EQ(head_.reserve_bytes, options_.reserve_bytes);
  EXPECT_GT(head_.moov_bytes, 0u);
  EXPECT_GE(writer().bytes(), head_.fragments_offset());
}

TEST_F(VideoWriterTest, ADiskThatStandsStillForFiveSecondsEndsIt) {
  options_.queue_packets = 4;
  for (int i = 0; i < 3; ++i) Add();
  Millis(limits::kQueueFullMs * 2);
  EXPECT_TRUE(ends_.empty()) << "the queue was not full";

  Add();
  Millis(limits::kQueueFullMs - 1);
  EXPECT_TRUE(ends_.empty());
  Millis(2);

  EXPECT_EQ(ends_, std::vector{link::EndReason::kDiskSlow});
}

TEST_F(VideoWriterTest, TheFinishedFileStaysBelowMaxBytes) {
  RunDisk();
  while (ends_.empty()) {
    Add(100'000);
    Millis(33);
  }
  EXPECT_EQ(ends_, std::vector{link::EndReason::kMaxBytes});
  EXPECT_EQ(writer().dropped(), 1u);
  Add(10);  // What still comes out of the encoder.
  EXPECT_EQ(writer().dropped(), 2u);

  const auto result = Finish();

  ASSERT_TRUE(result.ok());
  EXPECT_LE(result->bytes, options_.max_bytes);
  EXPECT_GT(result->bytes + 110'000, options_.max_bytes) << "ended too early";
  EXPECT_EQ(credits_, static_cast<int>(serial_));
}

TEST_F(VideoWriterTest, PicturesAreAskedToShrinkTowardsTheEnd) {
  RunDisk();
  const uint64_t first = writer().packet_bytes_max();
  EXPECT_EQ(first, (options_.max_bytes - options_.reserve_bytes) / 8);

  while (ends_.empty()) Add(100'000);

  EXPECT_EQ(writer().packet_bytes_max(), limits::kPacketSqueezeMinBytes);
}

TEST_F(VideoWriterTest, ANewSizeStartsAFragmentOfItsOwn) {
  RunDisk();
  Add();
  Add(100, 96);

  const auto result = Finish();

  ASSERT_TRUE(result.ok());
  auto source = FdByteSource::Open(video_);
  ASSERT_TRUE(source.ok());
  const auto movie = mp4::ReadMovie(*source, 1u << 20);
  ASSERT_TRUE(movie.ok());
  EXPECT_EQ(movie->width, 64);
  mp4::SampleIndex::Reader reader(movie->index);
  EXPECT_TRUE(reader.Next()->starts_chunk);
  const auto second = reader.Next();
  EXPECT_TRUE(second->starts_chunk);
  EXPECT_TRUE(second->keyframe);
}

TEST_F(VideoWriterTest, WhatTheAgentCausedIsMarkedInTheFile) {
  RunDisk();
  Add();
  writer().SetAgentActive(world_.Now() + absl::Seconds(1));
  for (const int64_t later : {900, 100}) Millis(later), Add();
  ASSERT_TRUE(Finish().ok());
  auto source = FdByteSource::Open(video_);
  const auto movie = mp4::ReadMovie(*source, 1u << 20).value();
  mp4::SampleIndex::Reader reader(movie.index);
  for (const bool agent : {false, true, false})
    EXPECT_EQ(reader.Next()->priority, mp4::Priority(0, agent));
}

TEST_F(VideoWriterTest, AfterAFailedSyncOnlyWhatWasDurableCounts) {
  RunDisk();
  Add();
  Millis(600);
  const uint64_t durable = writer().durable_bytes();
  ASSERT_GT(durable, 0u);
  Add();
  disk_.FailNext(1, EIO);  // The fragment is written, and its sync fails.
  Millis(600);
  EXPECT_EQ(ends_, std::vector{link::EndReason::kDiskFailed});
  EXPECT_EQ(writer().durable_bytes(), durable);
  EXPECT_EQ(credits_, 2);

  const auto result = Finish();

  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->samples, 1u);
  EXPECT_EQ(result->bytes, durable);
  EXPECT_EQ(writer().durable_bytes(), durable);
}

TEST_F(VideoWriterTest, ASyncThatFailsAtTheStopCostsTheLastFragmentOnly) {
  RunDisk();
  Add();
  Millis(600);
  const uint64_t durable = writer().durable_bytes();
  Add();
  // Fragment, plan, truncate, two writes, and then the sync.
  disk_.FailNext(5, EIO);

  const auto result = Finish();

  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->survived.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(result->samples, 1u);
  EXPECT_EQ(result->bytes, durable);
}

TEST_F(VideoWriterTest,
       ADiskThatFailsBeforeAnythingIsDurableIsNotCalledNoFrame) {
  RunDisk();
  Add();
  world_.Settle();
  // Reservation, fragment, plan, truncate, two writes, and then the sync.
  disk_.FailNext(6, ENOSPC);

  EXPECT_TRUE(absl::IsResourceExhausted(Finish().status()));
}

TEST_F(VideoWriterTest, AFullDiskEndsItWithWhatWasWritten) {
  RunDisk();
  Add();
  Millis(600);
  disk_.FailNext(0, ENOSPC, 50);
  Add();
  Millis(600);
  EXPECT_EQ(ends_, std::vector{link::EndReason::kDiskFull});

  const auto result = Finish();

  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->samples, 1u);
}

// `done` may destroy the writer: whatever could still call back into it has to
// come first, however long the disk leaves it lying.
TEST_F(VideoWriterTest, DoneWaitsForTheNoteOfStillness) {
  RunDisk();
  Add();
  Millis(limits::kFragmentMs + 10);
  world_.RemoveActor(disk_);
  disk_runs_ = false;
  Millis(limits::kAliveMs + 10);
  ASSERT_EQ(disk_.queued(), 1u);  // The note.

  EXPECT_TRUE(DoneAfterAllButTheFirst());
}

TEST_F(VideoWriterTest, DoneWaitsForTheCheckOfSpace) {
  options_.max_bytes = 64u << 20;
  writer();
  Add(limits::kPreallocateBytes + 1'000);
  // The head and the moov, before the fragment.
  for (int i = 0; i < 2; ++i) {
    disk_.RunOne();
    world_.Settle();
  }
  Millis(limits::kFragmentMs + 10);
  ASSERT_EQ(disk_.queued(), 3u);  // Reservation, check and write.
  disk_.RunOne(0);
  world_.Settle();

  EXPECT_TRUE(DoneAfterAllButTheFirst());
}

TEST_F(VideoWriterTest, NoFrameIsNotFound) {
  RunDisk();
  writer();
  EXPECT_TRUE(absl::IsNotFound(Finish().status()));
}

TEST_F(VideoWriterTest, AFileSystemThatCannotReserveIsToldOnce) {
  disk_.set_can_reserve(false);
  RunDisk();
  for (int i = 0; i < 3; ++i) {
    Add();
    Millis(600);
  }

  EXPECT_EQ(refused_reservations_, 1);
  EXPECT_TRUE(Finish().ok());
}

TEST_F(VideoWriterTest, HoursOfStillnessAskForASample) {
  RunDisk();
  Add();
  Millis(3'600'000);
  EXPECT_EQ(samples_needed_, 0);
  Millis(3 * 3'600'000);
  EXPECT_GT(samples_needed_, 0);
}

}  // namespace
}  // namespace kine
