// CreateEncoder and the software encoder behind it.
#include <drm_fourcc.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <vector>

#include "encode/create_encoder.h"
#include "encode/h264/nal.h"
#include "encode/h264/sps.h"
#include "encode/picture/picture.h"
#include "encode/rate_control.h"
#include "tests/encode/decode.h"
#include "tests/encode/test_frames.h"

namespace kine {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

#if KINE_HAVE_X264

constexpr int kNalSlice = 1;
constexpr int kNalIdr = 5;
constexpr int kNalSps = 7;
constexpr int kNalPps = 8;

class X264Test : public testing::Test {
 protected:
  X264Test() { Make(EncoderConfig{}); }

  void Make(const EncoderConfig& config) {
    auto created = CreateEncoder(EncoderChoice::kSoftware, config, "");
    ASSERT_TRUE(created.ok()) << created.status();
    encoder_ = std::move(created->encoder);
  }

  // Encodes `image`; whether it gave a packet.
  bool Encode(const TestImage& image, const EncodeRequest& request = {}) {
    Frame frame = MakeFrame(image, {.fourcc = DRM_FORMAT_XRGB8888});
    frame.time = NextTime();
    frame.arrival = frame.time + absl::Milliseconds(1);
    EXPECT_TRUE(picture_.Take(frame, request.pointer).ok());
    const auto outcome = encoder_->Encode(frame, request, packets_);
    EXPECT_TRUE(outcome.ok()) << outcome.status();
    return outcome.ok() && *outcome == Encoder::Outcome::kEncoded;
  }
  bool Again(Encoder::Again how, const EncodeRequest& request = {}) {
    const auto outcome =
        encoder_->EncodeAgain(how, NextTime(), request, packets_);
    EXPECT_TRUE(outcome.ok()) << outcome.status();
    return outcome.ok() && *outcome == Encoder::Outcome::kEncoded;
  }
  MonoTime NextTime() {
    time_ = time_ + absl::Milliseconds(33);
    return time_;
  }

  // Of the luma, against the picture that was encoded last.
  double Psnr(const DecodedPicture& decoded) const {
    double sum = 0;
    for (int y = 0; y < decoded.height; ++y) {
      for (int x = 0; x < decoded.width; ++x) {
        const int difference =
            decoded.luma[static_cast<size_t>(y * decoded.width + x)] -
            picture_.luma()[y * picture_.stride() + x];
        sum += difference * difference;
      }
    }
    sum /= static_cast<double>(decoded.luma.size());
    return sum == 0 ? 99 : 10 * std::log10(255 * 255 / sum);
  }

  std::unique_ptr<Encoder> encoder_;
  Picture picture_;  // The same conversion beside the encoder's.
  std::vector<Packet> packets_;
  MonoTime time_ = MonoTime::FromNanos(1'000'000'000);
};

TEST_F(X264Test, TheFirstPacketIsAKeyframeWithItsHeadersAndNothingElse) {
  EXPECT_TRUE(Encode(TextPage(320, 200, 0)));
  ASSERT_EQ(packets_.size(), 1u);  // At once: nothing is held back.
  const Packet& packet = packets_[0];
  EXPECT_TRUE(packet.keyframe);
  EXPECT_THAT(NalTypes(packet), ElementsAre(kNalSps, kNalPps, kNalIdr));
  EXPECT_EQ(packet.time, time_);
  EXPECT_EQ(packet.arrival, time_ + absl::Milliseconds(1));
  EXPECT_EQ(packet.damaged_macroblocks, 20u * 13);
  EXPECT_EQ(packet.width, 320);
  EXPECT_EQ(packet.height, 200);
}

TEST_F(X264Test, NoDamageGivesNoPacketAndKeepsTheLoan) {
  const TestImage page = TextPage(320, 200, 0);
  EXPECT_TRUE(Encode(page));
  EXPECT_FALSE(Encode(page));
  EXPECT_FALSE(Encode(page, {.keyframe = true}));
  EXPECT_EQ(packets_.size(), 1u);
}

TEST_F(X264Test, KeyframesComeOnlyOnDemand) {
  for (int i = 0; i < 12; ++i) {
    EXPECT_TRUE(Encode(TextPage(320, 200, i), {.keyframe = i == 7}));
  }
  for (size_t i = 0; i < packets_.size(); ++i) {
    EXPECT_EQ(packets_[i].keyframe, i == 0 || i == 7) << i;
    EXPECT_THAT(NalTypes(packets_[i]),
                Contains(packets_[i].keyframe ? kNalIdr : kNalSlice));
  }
  EXPECT_TRUE(Again(Encoder::Again::kKeyframe));
  EXPECT_THAT(NalTypes(packets_.back()),
              ElementsAre(kNalSps, kNalPps, kNalIdr));
  EXPECT_TRUE(Again(Encoder::Again::kSkip));
  EXPECT_FALSE(packets_.back().keyframe);
  EXPECT_LT(packets_.back().data.size(), 64u);
}

TEST_F(X264Test, TheStreamDecodesToWhatWasEncoded) {
  if (!HaveFfmpeg()) GTEST_SKIP() << "ffmpeg is not installed";
  std::vector<double> psnr;
  for (int i = 0; i < 6; ++i) {
    // Odd: padded to 352x288.
    EXPECT_TRUE(Encode(TextPage(351, 287, i), {.keyframe = i == 3}));
    const auto pictures = Decode(packets_);
    ASSERT_EQ(pictures.size(), packets_.size());
    psnr.push_back(Psnr(pictures.back()));
    EXPECT_GT(psnr.back(), 36) << i;
  }
  EXPECT_EQ(packets_[0].width, 352);
  EXPECT_EQ(packets_[0].true_width, 351);
  EXPECT_EQ(packets_[0].height, 288);
  EXPECT_EQ(packets_[0].true_height, 287);
}

TEST_F(X264Test, APointerOverTheKeptPictureIsSeenAndLeavesNoTrace) {
  if (!HaveFfmpeg()) GTEST_SKIP() << "ffmpeg is not installed";
  auto shape = std::make_shared<CursorShape>();
  shape->width = shape->height = 24;
  shape->bgra.assign(24 * 24 * 4, std::byte{255});
  for (size_t i = 0; i < shape->bgra.size(); i += 8)
    shape->bgra[i] = shape->bgra[i + 3] = std::byte{64};
  Pointer pointer = {shape, 4, 7, MonoTime()};
  const EncodeRequest request = {.pointer = &pointer};
  EXPECT_TRUE(Encode(TextPage(351, 287, 0)));
  for (int i = 0; i < 20; ++i, pointer.x += 17, pointer.y += 12) {
    picture_.MovePointer(&pointer);
    EXPECT_TRUE(Again(Encoder::Again::kPointer, request));
    EXPECT_FALSE(packets_.back().keyframe);
    EXPECT_LE(packets_.back().damaged_macroblocks, 18u);
    EXPECT_EQ(packets_.back().damaged_macroblocks, picture_.changed().count());
  }
  pointer.x -= 17, pointer.y -= 12;
  EXPECT_FALSE(Again(Encoder::Again::kPointer, request));
  EXPECT_GT(Psnr(Decode(packets_).back()), 36);
  EXPECT_TRUE(Again(Encoder::Again::kKeyframe));
  EXPECT_GT(Psnr(Decode(packets_).back()), 36);
  EXPECT_TRUE(Again(Encoder::Again::kPointer));
  EXPECT_FALSE(Again(Encoder::Again::kPointer));
  picture_.MovePointer(nullptr);
  EXPECT_GT(Psnr(Decode(packets_).back()), 36);
  // With the picture that it comes with.
  pointer.x = pointer.y = 100;
  EXPECT_TRUE(Encode(TextPage(351, 287, 3), request));
  EXPECT_GT(Psnr(Decode(packets_).back()), 36);
  EXPECT_TRUE(Encode(TextPage(351, 287, 4), {.keyframe = true}));
  EXPECT_TRUE(packets_.back().keyframe);
  EXPECT_GT(Psnr(Decode(packets_).back()), 36);
}

TEST_F(X264Test, UndamagedMacroblocksStayAsTheyWereToTheBit) {
  if (!HaveFfmpeg()) GTEST_SKIP() << "ffmpeg is not installed";
  TestImage page = TextPage(320, 240, 0);
  EXPECT_TRUE(Encode(page));
  page.Fill(Rect{100, 100, 30, 20}, Rgb{200, 10, 10});
  EXPECT_TRUE(Encode(page));
  EXPECT_EQ(packets_[1].damaged_macroblocks, picture_.changed().count());
  const auto pictures = Decode(packets_);
  ASSERT_EQ(pictures.size(), 2u);
  int different = 0;
  for (int y = 0; y < 240; ++y) {
    for (int x = 0; x < 320; ++x) {
      const auto at = static_cast<size_t>(y * 320 + x);
      if (picture_.changed().at(x / 16, y / 16)) {
        different += pictures[0].luma[at] != pictures[1].luma[at];
      } else {
        ASSERT_EQ(pictures[0].luma[at], pictures[1].luma[at]) << x << "," << y;
      }
    }
  }
  EXPECT_GT(different, 100);
}

TEST_F(X264Test, TheStreamSaysHighProfileBt709LimitedAndItsSize) {
  if (!HaveFfmpeg()) GTEST_SKIP() << "ffprobe is not installed";
  EXPECT_TRUE(Encode(TextPage(1366, 767, 0)));
  const std::string stream = ProbeStream(packets_);
  for (const char* field :
       {"profile=\"High\"", "width=1366", "height=768", "pix_fmt=\"yuv420p\"",
        "color_range=\"tv\"", "color_space=\"bt709\"",
        "color_transfer=\"bt709\"", "color_primaries=\"bt709\"",
        "has_b_frames=0", "refs=1", "chroma_location=\"center\""}) {
    EXPECT_THAT(stream, HasSubstr(field));
  }
}

TEST_F(X264Test, TheStreamPromisesNoReorderingAndNoFixedFrameRate) {
  EXPECT_TRUE(Encode(TextPage(320, 200, 0)));
  EXPECT_TRUE(Encode(TextPage(320, 200, 1), {.keyframe = true}));
  for (const Packet& packet : packets_) {
    const auto nals = h264::SplitAvcc(packet.data);
    ASSERT_TRUE(nals.ok()) << nals.status();
    ASSERT_EQ(h264::TypeOf(nals->front()), h264::NalType::kSps);
    const auto sps = h264::ReadSps(h264::Unescape(nals->front()));
    ASSERT_TRUE(sps.ok()) << sps.status();
    ASSERT_TRUE(sps->vui.has_value() && sps->vui->timing.has_value());
    EXPECT_FALSE(sps->vui->timing->fixed_frame_rate);
    EXPECT_EQ(sps->vui->timing->time_scale,
              60 * sps->vui->timing->num_units_in_tick);
    ASSERT_TRUE(sps->vui->restriction.has_value());
    EXPECT_EQ(sps->vui->restriction->max_num_reorder_frames, 0u);
  }
}

TEST_F(X264Test, ANewSizeStartsWithAKeyframe) {
  EXPECT_TRUE(Encode(TextPage(320, 200, 0)));
  EXPECT_TRUE(Encode(TextPage(320, 200, 1)));
  EXPECT_TRUE(Encode(TextPage(640, 402, 1)));
  ASSERT_EQ(packets_.size(), 3u);
  EXPECT_TRUE(packets_[2].keyframe);
  EXPECT_EQ(packets_[2].width, 640);
  if (!HaveFfmpeg()) GTEST_SKIP() << "ffmpeg is not installed";
  const auto pictures = Decode(absl::MakeConstSpan(packets_).subspan(2));
  ASSERT_EQ(pictures.size(), 1u);
  EXPECT_GT(Psnr(pictures[0]), 36);
}

TEST_F(X264Test, RefinementImprovesOnceAndIsThenSilent) {
  if (!HaveFfmpeg()) GTEST_SKIP() << "ffmpeg is not installed";
  TestImage page = TextPage(640, 480, 0);
  EXPECT_TRUE(Encode(page));
  EXPECT_TRUE(Again(Encoder::Again::kRefine));
  EXPECT_TRUE(packets_[1].refinement);
  EXPECT_FALSE(packets_[1].keyframe);
  EXPECT_FALSE(Again(Encoder::Again::kRefine));
  // A small change: only that is refined.
  page.Fill(Rect{64, 64, 30, 20}, Rgb{10, 200, 80});
  EXPECT_TRUE(Encode(page));
  EXPECT_TRUE(Again(Encoder::Again::kRefine));
  EXPECT_LT(packets_[3].data.size(), packets_[1].data.size() / 10);
  const auto pictures = Decode(packets_);
  ASSERT_EQ(pictures.size(), 4u);
  EXPECT_GT(Psnr(pictures[3]), Psnr(pictures[2]));
  const double refined = Psnr(pictures[3]);
  EXPECT_GT(refined, 45);
  // A keyframe of a refined picture is not worse than it.
  EXPECT_TRUE(Again(Encoder::Again::kKeyframe));
  EXPECT_GT(Psnr(Decode(packets_).back()), 44);
  EXPECT_FALSE(Again(Encoder::Again::kRefine));
}

TEST_F(X264Test, ARefinementMakesThePictureBetterEverywhere) {
  if (!HaveFfmpeg()) GTEST_SKIP() << "ffmpeg is not installed";
  EXPECT_TRUE(Encode(RandomImage(320, 240, 3)));
  EXPECT_TRUE(Again(Encoder::Again::kRefine));
  const auto pictures = Decode(packets_);
  ASSERT_EQ(pictures.size(), 2u);
  EXPECT_GT(Psnr(pictures[1]), Psnr(pictures[0]) + 4);
}

TEST_F(X264Test, PacketsAreMadeToFitAndTheStreamStaysWhole) {
  if (!HaveFfmpeg()) GTEST_SKIP() << "ffmpeg is not installed";
  const TestImage noise = RandomImage(320, 240, 1);
  EXPECT_TRUE(Encode(noise));
  const uint64_t limit = packets_[0].data.size() / 5;
  EXPECT_TRUE(Again(Encoder::Again::kKeyframe, {.max_bytes = limit}));
  EXPECT_TRUE(Encode(RandomImage(320, 240, 2), {.max_bytes = limit}));
  EXPECT_TRUE(Encode(RandomImage(320, 240, 4), {.max_bytes = limit}));
  for (size_t i = 1; i < packets_.size(); ++i) {
    EXPECT_LE(packets_[i].data.size(), limit) << i;
  }
  const auto pictures = Decode(packets_);
  ASSERT_EQ(pictures.size(), packets_.size());
  EXPECT_GT(Psnr(pictures.back()), 12);
  // An impossible limit gives the coarsest picture, not an error.
  EXPECT_TRUE(Encode(RandomImage(320, 240, 5), {.max_bytes = 1}));
  EXPECT_LT(packets_.back().data.size(), limit);
}

TEST_F(X264Test, NeighbouringKeyframesDecodeAsTwoPictures) {
  if (!HaveFfmpeg()) GTEST_SKIP() << "ffmpeg is not installed";
  EXPECT_TRUE(Encode(RandomImage(320, 240, 1)));
  for (uint64_t part = 2; part < 9; ++part) {
    EXPECT_TRUE(Again(Encoder::Again::kKeyframe,
                      {.max_bytes = packets_[0].data.size() / part}));
  }
  EXPECT_EQ(Decode(packets_).size(), packets_.size());
}

TEST_F(X264Test, ABitRateIsKeptOverTime) {
  constexpr uint64_t kRate = 400'000;
  Make(EncoderConfig{.bitrate = kRate});
  constexpr int kFrames = 240;  // 8 s of noise that quality 60 cannot pay for.
  for (uint32_t i = 0; i < kFrames; ++i) {
    EXPECT_TRUE(Encode(RandomImage(160, 128, i)));
  }
  uint64_t bits = 0;
  for (const Packet& packet : packets_) bits += packet.data.size() * 8;
  const double seconds = kFrames * 0.033;
  EXPECT_LT(static_cast<double>(bits),
            static_cast<double>(kRate) * (seconds + 3));
  EXPECT_GT(static_cast<double>(bits),
            static_cast<double>(kRate) * seconds / 2);
}

TEST_F(X264Test, BetterQualityIsBiggerAndLooksBetter) {
  if (!HaveFfmpeg()) GTEST_SKIP() << "ffmpeg is not installed";
  size_t last_size = 0;
  double last_psnr = 0;
  for (int quality : {0, 30, 60, 100}) {
    Make(EncoderConfig{.quality = quality});
    packets_.clear();
    EXPECT_TRUE(Encode(TextPage(320, 240, 0)));
    const double psnr = Psnr(Decode(packets_)[0]);
    EXPECT_GT(packets_[0].data.size(), last_size);
    EXPECT_GT(psnr, last_psnr);
    last_size = packets_[0].data.size();
    last_psnr = psnr;
  }
}

TEST_F(X264Test, SlicesOfSeveralThreadsDecodeAsOnePicture) {
  if (!HaveFfmpeg()) GTEST_SKIP() << "ffmpeg is not installed";
  Make(EncoderConfig{.threads = 2});
  EXPECT_TRUE(Encode(TextPage(640, 480, 0)));
  EXPECT_TRUE(Encode(TextPage(640, 480, 1)));
  EXPECT_THAT(NalTypes(packets_[1]), ElementsAre(kNalSlice, kNalSlice));
  const auto pictures = Decode(packets_);
  ASSERT_EQ(pictures.size(), 2u);
  EXPECT_GT(Psnr(pictures[1]), 36);
}

TEST_F(X264Test, AFailedFrameIsFollowedByAKeyframe) {
  const TestImage page = TextPage(320, 200, 0);
  EXPECT_TRUE(Encode(page));
  Frame bad = MakeFrame(page, {.fourcc = DRM_FORMAT_XRGB8888});
  bad.planes[0].size = 1;
  EXPECT_FALSE(encoder_->Encode(bad, {}, packets_).ok());
  EXPECT_NE(bad.planes[0].data, nullptr);
  EXPECT_EQ(packets_.size(), 1u);
  // Even when it shows what the one before showed.
  EXPECT_TRUE(Encode(page));
  EXPECT_TRUE(packets_[1].keyframe);
}

TEST_F(X264Test, NothingCanBeEncodedAgainBeforeTheFirst) {
  EXPECT_EQ(encoder_->EncodeAgain(Encoder::Again::kRefine, time_, {}, packets_)
                .status()
                .code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(X264Test, SenselessConfigurationsAreRefused) {
  for (const EncoderConfig& config :
       {EncoderConfig{.fps_max = 0}, EncoderConfig{.fps_max = 1000},
        EncoderConfig{.quality = 101}, EncoderConfig{.threads = -1}}) {
    EXPECT_EQ(
        CreateEncoder(EncoderChoice::kSoftware, config, "").status().code(),
        absl::StatusCode::kInvalidArgument);
  }
}

TEST(CreateEncoder, SaysWhatItIs) {
  const auto created = CreateEncoder(EncoderChoice::kSoftware, {}, "");
  ASSERT_TRUE(created.ok());
  EXPECT_EQ(created->kind, EncoderChoice::kSoftware);
  EXPECT_TRUE(created->refusals.empty());
  const EncoderDescription description = created->encoder->description();
  EXPECT_EQ(description.name, "x264");
  EXPECT_THAT(description.version, Not(HasSubstr(" r0")));
  EXPECT_EQ(description.color, "bt709 limited");
  EXPECT_THAT(SurveyEncoders("").available, Contains("x264"));
}

#else

TEST(CreateEncoder, WithoutX264SaysWhatIsMissing) {
  const auto created = CreateEncoder(EncoderChoice::kSoftware, {}, "");
  EXPECT_EQ(created.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(created.status().message()), HasSubstr("X264=0"));
}

#endif

}  // namespace
}  // namespace kine
