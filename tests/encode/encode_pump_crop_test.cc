// The pump narrows frames to what was asked for.
#include <string>
#include <utility>
#include <vector>

#include "tests/encode/encode_pump_fixture.h"

namespace kine {
namespace {

class EncodePumpCropTest : public EncodePumpTest {};

TEST_F(EncodePumpCropTest, ACropIsEncodedAloneAndDamageOutsideOfItIsNone) {
  EncodePumpOptions options;
  options.crop = Rect{16, 8, 32, 32};
  StartPump(1, options);
  Offer(NewFrame());
  world_->Advance(absl::Milliseconds(40));
  Offer(NewFrame());  // Damaged in its upper left corner.
  world_->Advance(absl::Milliseconds(40));
  EXPECT_EQ(packets_.size(), 1u);
  EXPECT_EQ(metrics_.skipped_undamaged.value(), 1u);
  Frame frame = NewFrame();
  frame.damage.Add(Rect{40, 20, 20, 4});
  Offer(std::move(frame));
  world_->Settle();
  EXPECT_EQ(packets_.size(), 2u);
  const auto& call = log_.calls.back();
  EXPECT_EQ(call.crop, (Rect{16, 8, 32, 32}));
  ASSERT_EQ(call.damage.end() - call.damage.begin(), 1);
  EXPECT_EQ(*call.damage.begin(), (Rect{24, 12, 8, 4}));
  EXPECT_TRUE(fallbacks_.empty());
  StopAndDrain();
}

TEST_F(EncodePumpCropTest, ACropFollowsThePictureAndItsKeptOneStandsOutside) {
  EncodePumpOptions options;
  options.crop = Rect{40, 0, 64, 48};
  StartPump(1, options);
  const auto offer = [this](int width) {
    Frame frame = NewFrame();
    frame.format.width = frame.crop.width = width;
    frame.damage = Damage::Full();
    Offer(std::move(frame));
    world_->Advance(absl::Milliseconds(40));
  };
  offer(64);
  offer(64);  // Told once.
  EXPECT_EQ(packets_.size(), 2u);
  offer(48);  // 8 columns are no picture.
  EXPECT_EQ(packets_.size(), 2u);
  OnLoop(&EncodePump::RequestKeyframeNow);
  world_->Advance(absl::Milliseconds(1));
  EXPECT_EQ(packets_.size(), 3u);  // For one who joins: the kept picture.
  offer(200);
  EXPECT_EQ(packets_.size(), 4u);
  EXPECT_EQ(log_.calls.back().crop, (Rect{40, 0, 64, 48}));
  std::vector<std::string> to;
  std::vector<bool> lasts;
  for (const EncodeFallback& fallback : fallbacks_) {
    EXPECT_EQ(fallback.what, "crop");
    EXPECT_EQ(fallback.from, "64x48+40+0");
    to.push_back(fallback.to);
    lasts.push_back(fallback.lasts);
  }
  EXPECT_EQ(to,
            (std::vector<std::string>{"24x48+40+0", "nothing", "64x48+40+0"}));
  EXPECT_EQ(lasts, (std::vector<bool>{true, true, false}));
  EXPECT_FALSE(failed_.has_value());
  StopAndDrain();
}

TEST_F(EncodePumpCropTest, ACropOutsideOfTheFirstPictureFails) {
  EncodePumpOptions options;
  options.crop = Rect{64, 0, 64, 48};
  StartPump(1, options);
  Offer(NewFrame());
  world_->Settle();
  ASSERT_TRUE(failed_.has_value());
  EXPECT_TRUE(absl::IsOutOfRange(*failed_)) << *failed_;
  EXPECT_NE(failed_->message().find("64x48+64+0"), std::string::npos);
  EXPECT_TRUE(packets_.empty() && fallbacks_.empty() && log_.calls.empty());
  StopAndDrain();
}

}  // namespace
}  // namespace kine
