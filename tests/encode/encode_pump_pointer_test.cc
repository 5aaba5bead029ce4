// The pump and a pointer that its source tells as data.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/encode/encode_pump_fixture.h"

namespace kine {
namespace {

using Kind = FakeEncoderLog::Call::Kind;

class EncodePumpPointerTest : public EncodePumpTest {
 protected:
  void StartDrawing(EncodePumpOptions options = {}) {
    options.draws_pointer = true;
    StartPump(1, options);
    auto shape = std::make_shared<CursorShape>();
    shape->width = shape->height = 1;
    shape->bgra.resize(4);
    shape_ = std::move(shape);
  }
  Pointer At(int x, bool visible = true) const {
    return {visible ? shape_ : nullptr, x, 5, Now()};
  }
  void OfferPointer(const Pointer& pointer) {
    source_->Post([this, pointer] { pump_->OfferPointer(pointer); });
  }
  size_t Calls(Kind kind) const {
    return static_cast<size_t>(
        std::count_if(log_.calls.begin(), log_.calls.end(),
                      [kind](const auto& call) { return call.kind == kind; }));
  }

  std::shared_ptr<const CursorShape> shape_;
};

TEST_F(EncodePumpPointerTest, OneThatMovesOverAStillPictureKeepsThePace) {
  StartDrawing();       // 30 a second.
  OfferPointer(At(0));  // There is nothing to draw it on.
  world_->Settle();
  Offer(NewFrame());
  world_->Advance(absl::Seconds(1));
  ASSERT_EQ(packets_.size(), 2u);  // The frame, and its refinement.
  EXPECT_EQ(log_.calls[0].pointer->x, 0);
  for (int i = 1; i <= 2000; ++i) {
    OfferPointer(At(i));
    world_->Advance(absl::Milliseconds(1));
  }
  // 60 in two seconds, and a refinement of what it left every 300 ms at most.
  const auto pictures = metrics_.pointer_pictures.value();
  EXPECT_GE(pictures, 58u);
  EXPECT_LE(pictures, 64u);
  EXPECT_GE(metrics_.refinements.value(), 5u);
  EXPECT_LE(metrics_.refinements.value(), 8u);
  world_->Advance(absl::Seconds(1));
  // Where it came to rest it is drawn, and then nothing is done any more.
  EXPECT_EQ(log_.calls.back().kind, Kind::kRefine);
  const auto last = std::find_if(
      log_.calls.rbegin(), log_.calls.rend(),
      [](const auto& call) { return call.kind == Kind::kPointer; });
  EXPECT_EQ(last->pointer->x, 2000);
  const size_t calls = log_.calls.size();
  world_->Advance(absl::Seconds(10));
  EXPECT_EQ(log_.calls.size(), calls);
  for (size_t i = 1; i < packets_.size(); ++i)
    EXPECT_GT(packets_[i].time, packets_[i - 1].time);
  EXPECT_EQ(metrics_.frames_encoded.value(), 1u);
  StopAndDrain();
}

TEST_F(EncodePumpPointerTest, WhatIsNotSeenMakesNoPacket) {
  StartDrawing();
  Offer(NewFrame());
  world_->Advance(absl::Seconds(1));
  const size_t packets = packets_.size();
  for (int i = 0; i < 20; ++i) {
    OfferPointer(At(i, /*visible=*/false));
    world_->Advance(absl::Milliseconds(50));
  }
  EXPECT_EQ(packets_.size(), packets);
  OfferPointer(At(3));
  world_->Advance(absl::Milliseconds(50));
  OfferPointer(At(3));  // The same place, the same shape.
  world_->Advance(absl::Milliseconds(50));
  EXPECT_EQ(packets_.size(), packets + 1);
  OfferPointer(At(3, /*visible=*/false));
  world_->Advance(absl::Milliseconds(50));
  EXPECT_EQ(packets_.size(), packets + 2);
  StopAndDrain();
}

TEST_F(EncodePumpPointerTest, OneThatComesWithAFrameIsOnePicture) {
  StartDrawing();
  for (int i = 0; i < 30; ++i) {
    auto frame = std::make_shared<Frame>(NewFrame());
    source_->Post([this, frame, pointer = At(i)] {
      pump_->Offer(std::move(*frame), &pointer);
    });
    world_->Advance(absl::Milliseconds(40));
    EXPECT_EQ(log_.calls.back().pointer->x, i);
  }
  EXPECT_EQ(packets_.size(), 30u);
  EXPECT_EQ(Calls(Kind::kPointer), 0u);
  // It stays where it is when frames say nothing of it.
  Offer(NewFrame());
  world_->Advance(absl::Milliseconds(40));
  EXPECT_EQ(log_.calls.back().pointer->x, 29);
  StopAndDrain();
}

TEST_F(EncodePumpPointerTest, ItsPicturesCostCreditAndHaveKeyframes) {
  EncodePumpOptions options;
  options.keyframe_every = absl::Milliseconds(500);
  options.keyframe_pictures = 5;
  options.queue_packets = 3;
  options.refine_after = absl::Hours(1);
  StartDrawing(options);
  Offer(NewFrame());
  world_->Advance(absl::Milliseconds(40));
  for (int i = 0; i < 50; ++i) {
    OfferPointer(At(i));
    world_->Advance(absl::Milliseconds(40));
  }
  EXPECT_GE(metrics_.keyframes.value(), 4u);
  EXPECT_LE(metrics_.keyframes.value(), 5u);
  return_credits_ = false;
  const size_t packets = packets_.size();
  for (int i = 100; i < 120; ++i) {
    OfferPointer(At(i));
    world_->Advance(absl::Milliseconds(40));
  }
  EXPECT_EQ(packets_.size(), packets + 3);
  return_credits_ = true;
  Return(3, 3 * packets_.back().data.size());
  world_->Settle();
  EXPECT_EQ(packets_.size(), packets + 4);
  EXPECT_EQ(log_.calls.back().pointer->x, 119);
  StopAndDrain();
}

TEST_F(EncodePumpPointerTest, APauseHoldsItBackAndAStopDoesNot) {
  StartDrawing();
  Offer(NewFrame());
  world_->Advance(absl::Seconds(1));
  OnLoop(&EncodePump::Pause);
  OfferPointer(At(1));
  world_->Advance(absl::Seconds(1));
  EXPECT_EQ(Calls(Kind::kPointer), 0u);
  OnLoop(&EncodePump::Resume);
  world_->Settle();
  ASSERT_EQ(Calls(Kind::kPointer), 1u);
  EXPECT_TRUE(packets_.back().keyframe);
  EXPECT_EQ(Calls(Kind::kKeyframe), 0u);
  // The pace has not come round yet.
  OfferPointer(At(2));
  world_->Settle();
  EXPECT_EQ(Calls(Kind::kPointer), 1u);
  StopAndDrain();
  EXPECT_EQ(Calls(Kind::kPointer), 2u);
}

TEST_F(EncodePumpPointerTest, IsMovedByTheCrop) {
  EncodePumpOptions options;
  options.crop = Rect{16, 2, 32, 32};
  StartDrawing(options);
  OfferPointer(At(20));
  Offer(NewFrame());
  world_->Advance(absl::Seconds(1));
  OfferPointer(At(10));
  world_->Advance(absl::Milliseconds(40));
  EXPECT_EQ(log_.calls.front().pointer->x, 4);
  EXPECT_EQ(log_.calls.front().pointer->y, 3);
  EXPECT_EQ(log_.calls.back().pointer->x, -6);
  StopAndDrain();
}

TEST_F(EncodePumpPointerTest, AnEncoderThatCannotDrawItSaysSoOnce) {
  log_.draws_pointer = false;
  StartDrawing();
  const auto frame = [this] {
    Offer(NewFrame());
    world_->Advance(absl::Milliseconds(40));
  };
  frame();
  EXPECT_TRUE(fallbacks_.empty());  // There is none yet.
  OfferPointer(At(1));
  frame();
  frame();
  ASSERT_EQ(fallbacks_.size(), 1u);
  EXPECT_EQ(fallbacks_[0].what, "cursor");
  EXPECT_EQ(fallbacks_[0].to, "metadata");
  EXPECT_TRUE(fallbacks_[0].lasts);
  EXPECT_NE(fallbacks_[0].reason.message().find("software"), std::string::npos);
  log_.draws_pointer = true;
  frame();
  ASSERT_EQ(fallbacks_.size(), 2u);
  EXPECT_FALSE(fallbacks_[1].lasts);
  StopAndDrain();
}

TEST_F(EncodePumpPointerTest, WhoWantsItAsDataGetsItNotDrawn) {
  StartPump();
  Offer(NewFrame());
  world_->Advance(absl::Seconds(1));
  const size_t calls = log_.calls.size();
  OfferPointer({std::make_shared<CursorShape>(), 1, 1, Now()});
  world_->Advance(absl::Seconds(1));
  EXPECT_EQ(log_.calls.size(), calls);
  StopAndDrain();
}

}  // namespace
}  // namespace kine
