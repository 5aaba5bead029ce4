// What the pointer did, from a source's report to the lines and shapes on the
// disk.
#include "daemon/recorder/cursor/cursor_track.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "daemon/recorder/cursor/cursor_feed.h"
#include "daemon/recorder/cursor/cursor_files.h"
#include "daemon/storage/blocking_io.h"
#include "encode/picture/macroblock_map.h"
#include "tests/fakes/fake_file_io.h"
#include "tests/fakes/fake_loop.h"

namespace kine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

CursorShape Shape(int side, uint8_t grey) {
  CursorShape shape;
  shape.width = shape.height = side;
  shape.hotspot_x = 1;
  shape.bgra.assign(static_cast<size_t>(side) * side * 4, std::byte{grey});
  return shape;
}

std::vector<std::string> LinesOf(int fd) {
  std::vector<std::string> lines;
  const auto read = ReadAppendLog(
      fd, [&](absl::string_view line) { lines.emplace_back(line); });
  EXPECT_TRUE(read.ok() && !read->damaged);
  return lines;
}

// -- CursorFeed --------------------------------------------------------------

class CursorFeedTest : public testing::Test {
 protected:
  CursorFeedTest()
      : loop_(world_.AddLoop("source")),
        feed_(loop_, [this](CursorBatch batch) { got_.push_back(batch); }) {}

  void Move(int x, const CursorShape* shape = nullptr) {
    CursorUpdate update;
    update.time = world_.Now();
    update.visible = true;
    update.x = x;
    update.width = 100;
    update.height = 50;
    update.shape = shape;
    feed_.Add(update);
  }

  FakeWorld world_;
  FakeLoop& loop_;
  std::vector<CursorBatch> got_;
  CursorFeed feed_;
};

TEST_F(CursorFeedTest, WhatComesTogetherGoesTogetherAndWaitsForControl) {
  for (int i = 0; i < 3; ++i) Move(i);
  EXPECT_THAT(got_, IsEmpty());
  world_.Advance(absl::Milliseconds(limits::kCursorBatchMs));
  ASSERT_EQ(got_.size(), 1u);
  EXPECT_EQ(got_[0].states.size(), 3u);
  Move(3);
  world_.Advance(absl::Seconds(1));
  EXPECT_EQ(got_.size(), 1u) << "control has not taken the first";
  feed_.Taken();
  world_.Advance(absl::Milliseconds(limits::kCursorBatchMs));
  ASSERT_EQ(got_.size(), 2u);
  Move(4);
  feed_.Flush();
  ASSERT_EQ(got_.size(), 3u) << "who leaves does not wait";
  EXPECT_EQ(got_[2].states[0].x, 4);
  EXPECT_EQ(loop_.timer_count(), 0u);
}

TEST_F(CursorFeedTest, BeyondItsBoundMovesBetweenOthersAreLeftOutAndCounted) {
  constexpr int kMoves = 5'000;
  constexpr int kShapeEvery = 100;
  for (int i = 0; i < kMoves; ++i) {
    const CursorShape shape = Shape(4, static_cast<uint8_t>(i / kShapeEvery));
    Move(i, i % kShapeEvery == 0 ? &shape : nullptr);
  }
  world_.Advance(absl::Milliseconds(limits::kCursorBatchMs));
  ASSERT_EQ(got_.size(), 1u);
  const CursorBatch& batch = got_[0];
  EXPECT_LE(batch.states.size(), limits::kCursorBatchStatesMax);
  EXPECT_EQ(batch.states.size() + batch.merged, size_t{kMoves});
  EXPECT_EQ(batch.states.back().x, kMoves - 1);
  int shapes = 0;
  std::shared_ptr<const CursorImage> last;
  for (const CursorState& state : batch.states) {
    if (state.image != last) {
      EXPECT_EQ(state.x, shapes * kShapeEvery) << "at the moment of the change";
      ++shapes;
    }
    last = state.image;
  }
  EXPECT_EQ(shapes, kMoves / kShapeEvery);
}

TEST_F(CursorFeedTest, APositionIsOneOfTheUprightPicture) {
  for (int t = 0; t < 8; ++t) {
    SCOPED_TRACE(t);
    got_.clear();
    CursorUpdate update;
    update.x = 99;
    update.y = 7;
    update.width = 100;
    update.height = 50;
    update.transform = static_cast<Transform>(t);
    feed_.Add(update);
    feed_.Flush();
    const CursorState& state = got_.at(0).states.at(0);
    const TransformMap map(update.transform, 100, 50);
    EXPECT_EQ(map.ToCrop(state.x, state.y).x, 99);
    EXPECT_EQ(map.ToCrop(state.x, state.y).y, 7);
    EXPECT_EQ(state.width, t % 2 == 0 ? 100 : 50);
    EXPECT_EQ(state.height, t % 2 == 0 ? 50 : 100);
  }
}

// -- CursorTrack, CursorWriter -----------------------------------------------

class CursorTrackTest : public testing::Test {
 protected:
  CursorTrackTest() : loop_(world_.AddLoop("control")), disk_(&loop_) {
    char path[] = "/tmp/kine-cursor-XXXXXX";
    path_ = ::mkdtemp(path);
    dir_ = UniqueFd(::open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    disk_.set_write_through(true);
    Open();
  }
  ~CursorTrackTest() override {
    if (disk_runs_) world_.RemoveActor(disk_);
    std::filesystem::remove_all(path_);
  }

  void Open(uint64_t bytes_max = limits::kCursorFileBytesMax) {
    UniqueFd file(::memfd_create("cursor", MFD_CLOEXEC));
    file_ = UniqueFd(::fcntl(file.get(), F_DUPFD_CLOEXEC, 0));
    track_ = std::make_unique<CursorTrack>(
        loop_, disk_, dir_.get(), std::move(file),
        CursorTrack::Options{
            .asked_embedded = true, .crop = crop_, .bytes_max = bytes_max},
        [this](MonoTime time) {
          return absl::ToInt64Microseconds(time - first_ - paused_);
        },
        [this](absl::Status why) { failures_.push_back(std::move(why)); });
  }
  void RunDisk() {
    if (!std::exchange(disk_runs_, true)) world_.AddActor(disk_);
  }
  MonoTime At(int ms) const { return first_ + absl::Milliseconds(ms); }
  CursorState State(int ms, int x, bool visible = true) {
    return {At(ms), visible, x, 5, 100, 50, image_};
  }
  void Add(const CursorState& state) { track_->Add({{state}, 0}); }
  void SetShape(const CursorShape& shape) {
    image_ = std::make_shared<const CursorImage>(
        CursorImage{shape, CursorHash(shape)});
  }
  // To its end.
  std::vector<std::string> Close() {
    RunDisk();
    track_->Close([] {});
    world_.Advance(absl::Seconds(2));
    EXPECT_TRUE(track_->quiet());
    return LinesOf(file_.get());
  }

  FakeWorld world_;
  FakeLoop& loop_;
  FakeFileIo disk_;
  std::string path_;
  UniqueFd dir_;
  UniqueFd file_;
  MonoTime first_ = MonoTime::FromNanos(5'000'000'000);
  absl::Duration paused_;
  std::optional<Rect> crop_;
  std::shared_ptr<const CursorImage> image_;
  std::vector<absl::Status> failures_;
  bool disk_runs_ = false;
  std::unique_ptr<CursorTrack> track_;
};

constexpr char kHead[] =
    R"({"t":0,"k":"head","version":1,"cursor":"metadata","asked":"embedded",)"
    R"("width":100,"height":50})";

TEST_F(CursorTrackTest, SaysWhatWasThereAtTheBeginningAndThenWhatIsDifferent) {
  SetShape(Shape(4, 9));
  Add(State(-900, 1));
  Add(State(-100, 50));
  Add(State(7, 75));  // Shown before the first picture was encoded.
  track_->Begin(first_, 100, 50);
  Add(State(10, 75));
  Add(State(20, -25));
  Add(State(30, -25, false));
  Add(State(40, 0));

  EXPECT_THAT(
      Close(),
      ElementsAre(kHead,
                  absl::StrCat(
                      R"({"t":0,"k":"shape","id":1,"hash":")", image_->hash,
                      R"(","width":4,"height":4,"hotspot_x":1,"hotspot_y":0})"),
                  R"({"t":0,"k":"move","x":0.500000,"y":0.100000,"s":1})",
                  R"({"t":0,"k":"show"})",
                  R"({"t":7000,"k":"move","x":0.750000,"y":0.100000,"s":1})",
                  R"({"t":20000,"k":"move","x":-0.250000,"y":0.100000,"s":1})",
                  R"({"t":30000,"k":"hide"})",
                  R"({"t":40000,"k":"move","x":0.000000,"y":0.100000,"s":1})",
                  R"({"t":40000,"k":"show"})"));
  const link::CursorFile counts = track_->counts();
  EXPECT_EQ(counts.events, 8u);
  EXPECT_EQ(counts.shapes, 1u);
  EXPECT_EQ(counts.dropped, 0u);
  EXPECT_THAT(failures_, IsEmpty());
}

TEST_F(CursorTrackTest, OfAPauseOnlyHowItEndsIsWritten) {
  track_->Begin(first_, 100, 50);
  Add(State(10, 1));
  track_->Pause(At(20));
  Add(State(15, 2));  // Came late.
  Add(State(30, 3));
  Add(State(40, 4));
  paused_ = absl::Milliseconds(30);
  track_->Resume(At(50));
  track_->Add({{State(45, 5), State(48, 6), State(60, 7)}, 0});  // As above.

  std::vector<std::string> moves;
  for (const std::string& line : Close())
    if (absl::StrContains(line, "move"))
      moves.push_back(line.substr(0, line.find(",\"y\"")));
  EXPECT_THAT(moves, ElementsAre(R"({"t":10000,"k":"move","x":0.010000)",
                                 R"({"t":15000,"k":"move","x":0.020000)",
                                 R"({"t":20000,"k":"move","x":0.040000)",
                                 R"({"t":20000,"k":"move","x":0.060000)",
                                 R"({"t":30000,"k":"move","x":0.070000)"));
}

TEST_F(CursorTrackTest, PositionsAreOfThePictureOfThen) {
  track_->Begin(first_, 100, 50);
  Add(State(10, 50));
  track_->SetPictureSize(At(20), 200, 100);
  Add({At(20), true, 150, 10, 200, 100, nullptr});
  track_->SetPictureSize(At(30), 200, 100);
  track_->SetSource(/*embedded=*/true);
  track_->SetPictureSize(At(40), 200, 100);
  Add(State(50, 1));
  track_->SetSource(/*embedded=*/false);
  track_->End(At(60));
  track_->SetPictureSize(At(55), 200, 100);
  Add(State(61, 1));

  EXPECT_THAT(
      Close(),
      ElementsAre(
          kHead, R"({"t":10000,"k":"move","x":0.500000,"y":0.100000,"s":0})",
          R"({"t":10000,"k":"show"})",
          R"({"t":20000,"k":"picture","cursor":"metadata","width":200,"height":100})",
          R"({"t":20000,"k":"move","x":0.750000,"y":0.100000,"s":0})",
          R"({"t":40000,"k":"picture","cursor":"embedded","width":200,"height":100})",
          R"({"t":55000,"k":"picture","cursor":"metadata","width":200,"height":100})"));
}

TEST_F(CursorTrackTest, PositionsAreOfThePartThatIsRecorded) {
  crop_ = Rect{20, 0, 100, 20};  // Of 100x50, so 80 wide.
  Open();
  track_->Begin(first_, 80, 20);
  Add(State(10, 40));
  Add(State(20, 0));
  const auto lines = Close();
  EXPECT_THAT(lines[1], HasSubstr(R"("x":0.250000,"y":0.250000,)"));
  EXPECT_THAT(lines[3], HasSubstr(R"("x":-0.250000,"y":0.250000,)"));
}

TEST_F(CursorTrackTest, APointerThatRestsCostsNothing) {
  RunDisk();
  SetShape(Shape(4, 9));
  track_->Begin(first_, 100, 50);
  Add(State(10, 50));
  world_.Advance(absl::Seconds(1));
  const FakeFileIo::Counts before = disk_.counts();
  for (int i = 0; i < 100; ++i) {
    Add(State(1'000 + i, 50));  // A blinking shape comes back to the first.
    world_.Advance(absl::Minutes(1));
  }
  EXPECT_EQ(disk_.counts().writes, before.writes);
  EXPECT_EQ(disk_.counts().runs, before.runs);
  EXPECT_EQ(disk_.counts().syncs, 0u);
  EXPECT_EQ(loop_.timer_count(), 0u);
}

TEST_F(CursorTrackTest, EachShapeIsOneFileHoweverOftenItComes) {
  track_->Begin(first_, 100, 50);
  const CursorShape arrow = Shape(4, 9);
  const CursorShape beam = Shape(4, 10);
  RunDisk();
  for (int i = 0; i < 6; ++i) {
    SetShape(i % 2 == 0 ? arrow : beam);
    Add(State(10 * i, 50));
    world_.Advance(absl::Milliseconds(10));
  }
  EXPECT_EQ(disk_.counts().runs, 2u);
  const auto lines = Close();
  EXPECT_THAT(lines.back(), R"({"t":50000,"k":"shape","id":2})");
  for (const CursorShape& shape : {arrow, beam}) {
    const auto png = ReadSmallFile(
        dir_.get(), absl::StrCat("cursors/", CursorHash(shape), ".png"), 4096);
    ASSERT_TRUE(png.ok()) << png.status();
    EXPECT_THAT(*png, StartsWith("\x89PNG"));
    EXPECT_EQ((*png)[25], 6) << "colour type: with alpha";
  }
}

TEST_F(CursorTrackTest, AShapeThatFindsNoRoomHasNoNameUntilItDoes) {
  track_->Begin(first_, 100, 50);
  // The disk takes none of them yet.
  for (int i = 0; i <= limits::kCursorShapesAtOnce; ++i) {
    SetShape(Shape(1, static_cast<uint8_t>(i)));
    Add(State(i, 50));
  }
  RunDisk();
  world_.Advance(absl::Seconds(1));
  EXPECT_EQ(track_->counts().shapes, uint64_t{limits::kCursorShapesAtOnce});
  Add(State(2'000, 50));
  const auto lines = Close();
  EXPECT_THAT(lines[lines.size() - 2], HasSubstr(R"("k":"shape","id":0})"));
  EXPECT_THAT(lines.back(), HasSubstr(R"("k":"shape","id":9,"hash")"));
}

TEST_F(CursorTrackTest, AFullFileSaysSoInItsLastLine) {
  constexpr uint64_t kBytesMax = 1'000;
  Open(kBytesMax);
  track_->Begin(first_, 100, 50);
  for (int i = 0; i < 100; ++i) Add(State(i, i));
  const auto lines = Close();
  EXPECT_THAT(lines.back(), HasSubstr(R"("k":"end","reason":"bytes"})"));
  EXPECT_LE(track_->counts().bytes, kBytesMax);
  EXPECT_EQ(track_->counts().dropped + track_->counts().events, 101u);
}

TEST_F(CursorTrackTest, ADiskThatFailsAnywhereIsToldOnceAndLeavesWholeLines) {
  RunDisk();
  for (size_t n = 0; n < 7; ++n) {
    for (const uint64_t kept : {0, 7, 100}) {
      SCOPED_TRACE(absl::StrCat(n, ", ", kept, " bytes kept"));
      Open();
      failures_.clear();
      disk_.FailNext(n, EIO, kept);
      track_->Begin(first_, 100, 50);
      for (int i = 0; i < 3; ++i) {
        SetShape(Shape(4, static_cast<uint8_t>(10 * n + i)));
        Add(State(i, i));
        world_.Advance(absl::Milliseconds(300));
      }
      track_->Close([] {});
      world_.Advance(absl::Seconds(2));

      EXPECT_TRUE(track_->quiet());
      EXPECT_EQ(failures_.size(), 1u);
      std::string whole;
      const auto read = ReadAppendLog(file_.get(), [&](absl::string_view line) {
        whole.assign(line.data(), line.size());
      });
      ASSERT_TRUE(read.ok());
      EXPECT_TRUE(read->lines == 0 || ParseCursorLine(whole).has_value());
    }
  }
}

TEST_F(CursorTrackTest, ADiskThatHangsHoldsTheVideoUpForASecond) {
  track_->Begin(first_, 100, 50);
  Add(State(1, 1));
  int changes = 0;
  track_->Close([&] { ++changes; });
  world_.Advance(absl::Milliseconds(limits::kCursorCloseMs - 1));
  EXPECT_FALSE(track_->over());
  world_.Advance(absl::Milliseconds(1));
  EXPECT_TRUE(track_->over());
  EXPECT_FALSE(track_->quiet()) << "the disk has it yet";
  EXPECT_EQ(changes, 1);
  RunDisk();
  world_.Advance(absl::Seconds(1));
  EXPECT_TRUE(track_->quiet());
  EXPECT_EQ(changes, 2);
}

}  // namespace
}  // namespace kine
