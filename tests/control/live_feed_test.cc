// Readers of a live feed, fast and slow, in fake time.
#include "daemon/control/live/live_feed.h"

#include <gtest/gtest.h>

#include <deque>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "daemon/base/limits.h"
#include "daemon/base/limits/live.h"
#include "encode/mp4/fragment_layout.h"
#include "tests/fakes/fake_loop.h"

namespace kine {
namespace {

constexpr uint64_t kTicksPerMs = limits::kMediaTimeScale / 1'000;

// What a reader got, piece by piece.
class Viewer {
 public:
  struct Piece {
    std::string text;
    std::vector<FileRange> files;
  };

  explicit Viewer(LiveFeed& feed, uint64_t pad = 0)
      : body_(feed.Follow(nullptr, pad)) {
    body_->start([this] { ++wakes_; });
  }

  // Takes pieces, `most` of them, until it has to wait.
  std::vector<Piece> Read(int most = 1'000) {
    std::vector<Piece> pieces;
    while (state_ != StreamBody::State::kEnd && most-- > 0) {
      Piece piece;
      state_ = body_->read(1, piece.text);
      if (state_ == StreamBody::State::kMore) piece.files = body_->files();
      if (!piece.text.empty() || !piece.files.empty())
        pieces.push_back(std::move(piece));
      if (state_ == StreamBody::State::kWait) break;
    }
    return pieces;
  }
  bool ended() const { return state_ == StreamBody::State::kEnd; }
  int wakes() const { return wakes_; }
  void Leave() { body_.reset(); }

 private:
  std::optional<StreamBody> body_;
  StreamBody::State state_ = StreamBody::State::kMore;
  int wakes_ = 0;
};

class LiveFeedTest : public testing::Test {
 protected:
  LiveFeedTest()
      : feed_(loop_, [this](bool watch) { asked_.push_back(watch); }) {
    feed_.OnHead(link::Head{"a", 32, 4'096, 600});
  }

  // A fragment of one picture, taken now.
  void Tell(bool keyframe) {
    const uint64_t now = static_cast<uint64_t>(
                             absl::ToInt64Milliseconds(world_.Now() - begin_)) *
                             kTicksPerMs +
                         1'000'000;
    mp4::Sample sample;
    sample.data = mp4::Share(std::vector<std::byte>(100));
    sample.time = now;
    sample.keyframe = keyframe;
    const auto bytes = mp4::BuildFragment(7, std::span(&sample, 1), now + 1);
    link::Fragment fragment;
    fragment.id = "a";
    const size_t moof = mp4::MoofBytes(1);
    fragment.moof.assign(reinterpret_cast<const char*>(bytes.data()), moof);
    fragment.mdat_offset = offset_ + moof;
    fragment.mdat_bytes = bytes.size() - moof;
    fragment.first_ticks = fragment.last_ticks = now;
    fragment.keyframe = keyframe;
    offset_ += bytes.size();
    feed_.OnFragment(std::move(fragment));
    world_.Settle();
  }
  void Millis(int64_t n) { world_.Advance(absl::Milliseconds(n)); }

  static mp4::ParsedMoof Parse(const Viewer::Piece& piece) {
    auto moof = mp4::ParseMoof(std::as_bytes(std::span(piece.text)));
    EXPECT_TRUE(moof.ok()) << moof.status();
    EXPECT_TRUE(moof->crc_good);
    return *std::move(moof);
  }
  static uint64_t TimeOf(const Viewer::Piece& piece) {
    return Parse(piece).decode_time / kTicksPerMs;
  }

  FakeWorld world_;
  FakeLoop& loop_ = world_.AddLoop("control");
  const MonoTime begin_ = world_.Now();
  std::vector<bool> asked_;
  uint64_t offset_ = 4'696;
  LiveFeed feed_;
};

TEST_F(LiveFeedTest, AReaderGetsTheHeadAndThenAllFromTheNextKeyframeOn) {
  Viewer viewer(feed_);
  EXPECT_EQ(asked_, std::vector<bool>{true});
  Tell(false);
  auto pieces = viewer.Read();
  ASSERT_EQ(pieces.size(), 1u);
  ASSERT_EQ(pieces[0].files.size(), 2u);
  EXPECT_EQ(pieces[0].files[0].size, 32u);
  EXPECT_EQ(pieces[0].files[1].offset, 4'096u);

  Millis(200);
  const uint64_t at = offset_;
  Tell(true);
  Millis(200);
  Tell(false);
  pieces = viewer.Read();

  ASSERT_EQ(pieces.size(), 2u);
  EXPECT_EQ(TimeOf(pieces[0]), 0u);
  EXPECT_EQ(Parse(pieces[0]).samples[0].duration, 200 * kTicksPerMs);
  ASSERT_EQ(pieces[0].files.size(), 1u);
  EXPECT_EQ(pieces[0].files[0].offset, at + mp4::MoofBytes(1));
  EXPECT_EQ(pieces[0].files[0].size, 108u);
  EXPECT_EQ(TimeOf(pieces[1]), 200u);
  // Its successor is not there yet: as long as a still picture lasts.
  EXPECT_EQ(Parse(pieces[1]).samples[0].duration,
            limits::kLiveStillMs * kTicksPerMs);
}

TEST_F(LiveFeedTest, WhoJoinsLaterWaitsForANewerKeyframeThanAnOldOne) {
  Viewer first(feed_);
  Tell(true);
  Millis(limits::kLiveJoinMs + 1);
  Viewer second(feed_);
  EXPECT_EQ(asked_.size(), 2u);
  Tell(false);
  EXPECT_EQ(first.Read().size(), 3u);
  EXPECT_EQ(second.Read().size(), 1u);

  Tell(true);
  Viewer third(feed_);

  EXPECT_EQ(TimeOf(first.Read().at(0)), 301u);
  EXPECT_EQ(TimeOf(second.Read().at(0)), 0u);
  EXPECT_EQ(TimeOf(third.Read().at(1)), 0u);
}

TEST_F(LiveFeedTest, ASlowOneGoesOnAtTheNewestKeyframeWithoutAHole) {
  Viewer slow(feed_);
  Viewer fast(feed_);
  Tell(true);
  EXPECT_EQ(slow.Read().size(), 2u);
  fast.Read();
  size_t fast_pieces = 0;
  for (int i = 1; i <= 20; ++i) {
    Millis(200);
    Tell(i % 8 == 0);
    fast_pieces += fast.Read().size();
  }

  const auto pieces = slow.Read();

  EXPECT_EQ(fast_pieces, 20u);
  EXPECT_EQ(feed_.skips(), 1u);
  ASSERT_EQ(pieces.size(), 5u);  // 16 to 20.
  EXPECT_TRUE(Parse(pieces[0]).samples[0].keyframe);
  EXPECT_EQ(TimeOf(pieces[0]), 500u);  // Where the last one was said to end.
  EXPECT_EQ(TimeOf(pieces[1]), 700u);
  EXPECT_EQ(pieces[4].files[0].offset, offset_ - 108);
}

TEST_F(LiveFeedTest, WithoutANewerKeyframeASlowOneAsksNowAndThen) {
  Viewer slow(feed_);
  Tell(true);
  slow.Read();
  asked_.clear();
  for (int i = 0; i < 15; ++i) {
    Millis(200);
    Tell(false);
  }

  // Nothing is missing: late, but whole.
  EXPECT_EQ(slow.Read(2).size(), 2u);
  EXPECT_EQ(asked_, std::vector<bool>{true});
  // More than is kept: only a keyframe helps.
  for (size_t i = 0; i < limits::kLiveFragments; ++i) Tell(false);
  EXPECT_EQ(slow.Read().size(), 0u);
  EXPECT_EQ(asked_.size(), 1u);
  Millis(limits::kKeyframeMs);
  EXPECT_EQ(slow.Read().size(), 0u);
  EXPECT_EQ(asked_.size(), 2u);
  Tell(true);
  EXPECT_EQ(slow.Read().size(), 1u);
  EXPECT_EQ(feed_.skips(), 1u);
}

TEST_F(LiveFeedTest, WhatWasLeftOutIsNotDecodedOver) {
  Viewer viewer(feed_);
  Tell(true);
  EXPECT_EQ(viewer.Read().size(), 2u);
  asked_.clear();
  offset_ += 1'000;

  Tell(false);
  EXPECT_EQ(viewer.Read().size(), 0u);
  EXPECT_EQ(asked_, std::vector<bool>{true});
  Tell(true);
  Tell(false);

  EXPECT_EQ(viewer.Read().size(), 2u);
  EXPECT_EQ(feed_.skips(), 1u);
}

TEST_F(LiveFeedTest, TheLastToLeaveEndsTheWatch) {
  Viewer first(feed_);
  Viewer second(feed_);
  Tell(true);
  first.Leave();
  EXPECT_EQ(asked_.size(), 2u);
  second.Leave();
  EXPECT_EQ(asked_, (std::vector<bool>{true, true, false}));
  Tell(true);  // Was on its way.
  EXPECT_EQ(loop_.timer_count(), 0u);

  Viewer third(feed_);

  EXPECT_EQ(third.Read().size(), 1u) << "what nobody told is no beginning";
  EXPECT_EQ(asked_.size(), 4u);
}

TEST_F(LiveFeedTest, TheEndComesBehindWhatIsThere) {
  Viewer viewer(feed_);
  Viewer never_began(feed_);
  Tell(true);
  Tell(false);
  never_began.Read(1);
  asked_.clear();
  const int wakes = viewer.wakes();

  feed_.End();
  world_.Settle();

  EXPECT_GT(viewer.wakes(), wakes);
  EXPECT_EQ(viewer.Read().size(), 3u);
  EXPECT_TRUE(viewer.ended());
  never_began.Read();
  EXPECT_TRUE(never_began.ended());
  viewer.Leave();
  never_began.Leave();
  EXPECT_TRUE(asked_.empty());
  EXPECT_EQ(loop_.timer_count(), 0u);
}

TEST_F(LiveFeedTest, WhatIsThereFillsWholeBlocksWhereThatIsWanted) {
  Viewer viewer(feed_, 1'024);
  uint64_t bytes = 0;
  for (int i = 0; i < 60; ++i) {
    Tell(i == 0);
    for (const Viewer::Piece& piece : viewer.Read()) {
      bytes += piece.text.size();
      for (const FileRange& range : piece.files) bytes += range.size;
    }
    EXPECT_EQ(bytes % 1'024, 0u) << i;
  }
  EXPECT_LE(bytes, 61u * 2 * 1'024);
}

TEST_F(LiveFeedTest, APauseIsFilledWithEmptyBoxes) {
  Viewer viewer(feed_);
  Tell(true);
  viewer.Read();
  Millis(limits::kEventHeartbeatMs);

  const auto pieces = viewer.Read();

  ASSERT_EQ(pieces.size(), 1u);
  EXPECT_EQ(pieces[0].text, std::string("\0\0\0\x8"
                                        "free",
                                        8));
  EXPECT_TRUE(viewer.Read().empty());
}

}  // namespace
}  // namespace kine
