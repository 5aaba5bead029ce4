#include "capture/test_pattern_source.h"

#include <drm_fourcc.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "daemon/base/limits.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_loop.h"
#include "tests/fakes/frame_numbers.h"

namespace kine {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

struct Seen {
  uint32_t number;
  MonoTime drawn_time;
  MonoTime time;
  MonoTime arrival;
  Damage damage;
  uint64_t buffer_id;
};

std::vector<std::byte> GrayOf(const Frame& frame) {
  std::vector<std::byte> gray;
  for (int y = 0; y < frame.crop.height; ++y) {
    const std::byte* row =
        frame.planes[0].data + static_cast<size_t>(y) * frame.planes[0].stride;
    for (int x = 0; x < frame.crop.width; ++x) gray.push_back(row[x * 4 + 1]);
  }
  return gray;
}

// Reads what it gets; keeps the frames or gives them back at once.
class Reader final : public FrameSource::Client {
 public:
  void OnFormat(const VideoFormat& f, const SourceDescription& d) override {
    EXPECT_TRUE(seen.empty());
    ++formats;
    format = f;
    description = d;
    if (on_format) on_format();
  }
  void OnNeverFinished(const VideoFormat&) override { ADD_FAILURE(); }
  void OnFrame(Frame frame) override {
    EXPECT_EQ(formats, 1);
    EXPECT_EQ(stopped, 0);
    const std::vector<std::byte> gray = GrayOf(frame);
    const GrayPicture picture{gray.data(),
                              static_cast<size_t>(frame.crop.width),
                              frame.crop.width, frame.crop.height};
    seen.push_back({ReadFrameNumber(picture).value(),
                    ReadFrameTime(picture).value_or(MonoTime()), frame.time,
                    frame.arrival, frame.damage, frame.buffer_id});
    if (keep) kept.push_back(std::move(frame));
    if (on_frame) on_frame();
  }
  void OnCursor(const CursorUpdate&) override { ADD_FAILURE(); }
  void OnLost(absl::Status) override { ADD_FAILURE(); }
  void OnFailed(absl::Status) override { ADD_FAILURE(); }
  void OnStopped() override {
    ++stopped;
    if (on_stopped) on_stopped();
  }

  std::vector<uint32_t> numbers() const {
    std::vector<uint32_t> result;
    for (const Seen& s : seen) result.push_back(s.number);
    return result;
  }

  VideoFormat format;
  SourceDescription description;
  std::vector<Seen> seen;
  std::vector<Frame> kept;
  bool keep = false;
  int formats = 0;
  int stopped = 0;
  absl::AnyInvocable<void()> on_format, on_frame, on_stopped;
};

class TestPatternSourceTest : public testing::Test {
 protected:
  void Make(TestPatternSpec spec) {
    auto made = TestPatternSource::Create(spec, loop_);
    ASSERT_TRUE(made.ok()) << made.status();
    source_ = *std::move(made);
  }
  void MakeAndStart(TestPatternSpec::Pattern pattern, double fps = 10) {
    Make({.width = 400, .height = 112, .fps = fps, .pattern = pattern});
    source_->Start(reader_);
  }

  FakeWorld world_;
  FakeLoop& loop_ = world_.AddLoop("source");
  Reader reader_;
  std::unique_ptr<TestPatternSource> source_;
};

using Pattern = TestPatternSpec::Pattern;

TEST_F(TestPatternSourceTest, FramesComeOnTheirSlotsWithExactTimes) {
  MakeAndStart(Pattern::kScroll, 30);
  EXPECT_EQ(reader_.formats, 0) << "never inside Start";
  const MonoTime start = world_.Now();
  world_.Advance(absl::Milliseconds(199));

  EXPECT_THAT(reader_.numbers(), ElementsAre(0, 1, 2, 3, 4, 5));
  for (const Seen& s : reader_.seen) {
    const MonoTime due =
        start + absl::Nanoseconds((s.number * 1'000'000'000ll + 15) / 30);
    EXPECT_EQ(s.time, due) << s.number;
    EXPECT_EQ(s.arrival, due);
    EXPECT_EQ(s.drawn_time.micros(), due.micros());
  }
  EXPECT_EQ(reader_.format.fourcc, DRM_FORMAT_XRGB8888);
  EXPECT_EQ(reader_.format.width, 400);
  EXPECT_EQ(reader_.format.height, 112);
  EXPECT_EQ(reader_.description.kind, "test");
  EXPECT_TRUE(reader_.description.has_damage);
  EXPECT_TRUE(reader_.description.has_times);
  EXPECT_EQ(source_->stats().received, 6u);
  EXPECT_EQ(source_->stats().lost_in_source, 0u);
}

TEST_F(TestPatternSourceTest, SlotsDoNotDriftAtAnOddRate) {
  MakeAndStart(Pattern::kScroll, 23.976);
  const MonoTime start = world_.Now();
  world_.Advance(absl::Seconds(60));
  ASSERT_EQ(reader_.seen.size(), 1439u);  // 60 s * 23.976 = 1438.56
  EXPECT_EQ(source_->stats().lost_in_source, 0u);
  EXPECT_NEAR(absl::ToDoubleSeconds(reader_.seen.back().time - start),
              1438 / 23.976, 1e-6);
}

TEST_F(TestPatternSourceTest, DamageIsWhatChangedSinceTheFrameBefore) {
  MakeAndStart(Pattern::kScroll);
  world_.Advance(absl::Milliseconds(350));
  ASSERT_EQ(reader_.seen.size(), 4u);
  EXPECT_TRUE(reader_.seen[0].damage.full());
  const Rect code{0, 0, 384, 48};
  for (size_t i : {1u, 2u}) {
    const Damage& damage = reader_.seen[i].damage;
    EXPECT_THAT(std::vector<Rect>(damage.begin(), damage.end()),
                ElementsAre(code));
  }
  EXPECT_TRUE(reader_.seen[3].damage.full()) << "the page scrolled";
}

TEST_F(TestPatternSourceTest, AStillPageShowsOneFrameAndNothingMore) {
  MakeAndStart(Pattern::kStill);
  EXPECT_TRUE(world_.RunUntilIdle()) << "no timer is left running";
  EXPECT_THAT(reader_.numbers(), ElementsAre(0));
}

TEST_F(TestPatternSourceTest, AReaderThatKeepsUpTouchesFewBuffers) {
  MakeAndStart(Pattern::kTyping);
  world_.Advance(absl::Seconds(5));
  // A frame may still be on its way back when the next one is due.
  int first = 0;
  for (const Seen& s : reader_.seen) {
    EXPECT_LE(s.buffer_id, 1u);
    if (s.buffer_id == 0) ++first;
  }
  EXPECT_GT(first, 40);
}

TEST_F(TestPatternSourceTest, FramesWithoutAFreeBufferAreLostAndCounted) {
  reader_.keep = true;
  MakeAndStart(Pattern::kTyping);
  world_.Advance(absl::Milliseconds(950));
  EXPECT_THAT(reader_.numbers(), ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(source_->stats().lost_in_source, 6u);

  // The one that comes back still shows frame 1.
  reader_.kept.erase(reader_.kept.begin() + 1);
  world_.Advance(absl::Milliseconds(100));
  EXPECT_THAT(reader_.numbers(), ElementsAre(0, 1, 2, 3, 10));
  EXPECT_EQ(reader_.seen.back().buffer_id, 1u);
  // All that was typed in between is damage: 4..10 and the number.
  const Damage& damage = reader_.seen.back().damage;
  EXPECT_EQ(damage.end() - damage.begin(), 8);
  EXPECT_EQ(source_->stats().received, 5u);

  // A buffer of another age looks as one that was drawn anew.
  const auto& kept = reader_.kept.back();
  PatternPicture picture(Pattern::kTyping, 400, 112);
  std::vector<uint32_t> pixels(400 * 112);
  PatternTarget target;
  target.fourcc = DRM_FORMAT_XRGB8888;
  target.planes[0] = {reinterpret_cast<std::byte*>(pixels.data()), 1600};
  picture.Draw(10, kept.time, Damage::Full(), target);
  EXPECT_EQ(0, std::memcmp(pixels.data(), kept.planes[0].data, 1600 * 112));
}

// A busy machine: ticks come late by a random time.
TEST(TestPatternSourceLateTest, LateTicksSkipNumbersAndKeepTheSlots) {
  constexpr absl::Duration kPeriod = absl::Milliseconds(10);
  uint64_t lost = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    FakeWorld world(seed);
    FakeLoop& loop = world.AddLoop("source");
    FakeLoop& other = world.AddLoop("other");
    loop.set_slow(true);
    absl::AnyInvocable<void()> work = [&] { other.Post([&] { work(); }); };
    FakeLoop& third = world.AddLoop("third");
    absl::AnyInvocable<void()> more = [&] { third.Post([&] { more(); }); };
    more();
    absl::AnyInvocable<void()> passing = [&] {
      other.PostAfter(absl::Milliseconds(9), [&] { passing(); });
    };
    work();
    passing();
    Reader reader;
    auto source = TestPatternSource::Create(
        {.width = 96, .height = 16, .fps = 100, .pattern = Pattern::kScroll},
        loop);
    ASSERT_TRUE(source.ok());
    (*source)->Start(reader);
    ASSERT_TRUE(world.RunUntil([&] { return reader.seen.size() >= 400; }));

    const MonoTime first = reader.seen[0].time;
    uint32_t next = 0;
    for (const Seen& s : reader.seen) {
      EXPECT_GE(s.number, next);
      next = s.number + 1;
      EXPECT_EQ(s.time, first + s.number * kPeriod);
      EXPECT_GE(s.arrival, s.time);
      EXPECT_LT(s.arrival, s.time + kPeriod) << "the newest that is due";
    }
    const SourceStats stats = (*source)->stats();
    EXPECT_EQ(stats.received + stats.lost_in_source, next);
    lost += stats.lost_in_source;
  }
  EXPECT_GT(lost, 10u) << "or the test shows nothing";
}

TEST_F(TestPatternSourceTest, StopIsAnsweredLaterOnceAndFinally) {
  MakeAndStart(Pattern::kVideo);
  world_.Advance(absl::Milliseconds(150));
  source_->Stop();
  source_->Stop();
  EXPECT_EQ(reader_.stopped, 0) << "never inside Stop";
  reader_.on_stopped = [&] { source_.reset(); };
  EXPECT_TRUE(world_.RunUntilIdle());
  EXPECT_EQ(reader_.stopped, 1);
  EXPECT_THAT(reader_.numbers(), ElementsAre(0, 1));
  EXPECT_EQ(loop_.timer_count(), 0u);
}

TEST_F(TestPatternSourceTest, StopWithinACallbackEndsIt) {
  reader_.on_frame = [&] { source_->Stop(); };
  MakeAndStart(Pattern::kVideo);
  EXPECT_TRUE(world_.RunUntilIdle());
  EXPECT_THAT(reader_.numbers(), ElementsAre(0));
  EXPECT_EQ(reader_.stopped, 1);
}

TEST_F(TestPatternSourceTest, StopBeforeTheFirstFrameEndsIt) {
  reader_.on_format = [&] { source_->Stop(); };
  MakeAndStart(Pattern::kVideo);
  EXPECT_TRUE(world_.RunUntilIdle());
  EXPECT_THAT(reader_.seen, IsEmpty());
  EXPECT_EQ(reader_.stopped, 1);
}

// Under ASan this also shows that nothing is leaked or read too late.
TEST_F(TestPatternSourceTest, FramesOutliveTheirSource) {
  reader_.keep = true;
  MakeAndStart(Pattern::kScroll);
  world_.Advance(absl::Milliseconds(250));
  source_.reset();
  ASSERT_EQ(reader_.kept.size(), 3u);
  const std::vector<std::byte> gray = GrayOf(reader_.kept[2]);
  EXPECT_EQ(ReadFrameNumber({gray.data(), 400, 400, 112}), 2u);
  reader_.kept.pop_back();
  EXPECT_TRUE(world_.RunUntilIdle());
  reader_.kept.clear();  // These two come back to a loop that never runs them.
}

TEST_F(TestPatternSourceTest, ImpossibleSizesAndRatesAreRefused) {
  const TestPatternSpec bad[] = {{.width = 15},   {.height = 0},
                                 {.width = 8193}, {.fps = 0},
                                 {.fps = 120.5},  {.fps = std::nan("")}};
  for (const TestPatternSpec& spec : bad) {
    EXPECT_EQ(TestPatternSource::Create(spec, loop_).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace kine
