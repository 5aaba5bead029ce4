// What VaEncoder promises beyond one picture after another: keyframes, sizes,
// stillness, limits, and what it does when the driver fails.
#include <drm_fourcc.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <va/va.h>

#include <cstddef>
#include <memory>

#include "absl/strings/str_cat.h"
#include "encode/h264/nal.h"
#include "encode/h264/picture_headers.h"
#include "encode/h264/sps.h"
#include "encode/rate_control.h"
#include "tests/va/va_rig.h"

namespace kine {
namespace {

using Settings = SoftVaEnv::Settings;

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Outcome = Encoder::Outcome;
using Way = VaRig::Way;

// Encode it and expect a packet, or what else is wanted.
#define ENCODE(expected, ...)                                \
  do {                                                       \
    const auto outcome_ = (__VA_ARGS__);                     \
    ASSERT_TRUE(outcome_.ok()) << outcome_.status();         \
    ASSERT_EQ(static_cast<int>(*outcome_),                   \
              static_cast<int>(Encoder::Outcome::expected)); \
  } while (false)

TestImage Page(int n, int width = 96, int height = 80) {
  TestImage image = RandomImage(width, height, 3);
  image.Fill({n % (width - 17), n % (height - 9), 17, 9},
             {uint8_t(n * 3), uint8_t(n), 99});
  return image;
}

// Of the slice; with our own headers in front of a keyframe.
h264::SliceHeader SliceOf(const Packet& packet, const Packet& keyframe) {
  h264::Sps sps;
  h264::Pps pps;
  const auto headers = h264::SplitAvcc(keyframe.data);
  for (const auto& nal : *headers) {
    const auto raw = h264::Unescape(nal);
    if (h264::TypeOf(nal) == h264::NalType::kSps) sps = *h264::ReadSps(raw);
    if (h264::TypeOf(nal) == h264::NalType::kPps) {
      pps = *h264::ReadPps(raw, sps);
    }
  }
  const auto units = *h264::SplitAvcc(packet.data);
  return h264::ReadSliceHeader(h264::Unescape(units.back()), sps, pps)->header;
}

TEST(VaEncoderTest, CountsOverEveryWrap) {
  if (!HaveDecoder()) GTEST_SKIP() << "ffmpeg is not installed";
  VaRig rig(Settings{{"STRICT", "1"}});
  ASSERT_TRUE(rig.Make().ok());
  for (int i = 0; i < 700; ++i) {
    // Two neighbours, and one in the middle of a round of frame_num.
    const bool keyframe = i == 300 || i == 301 || i == 420;
    ENCODE(kEncoded,
           rig.Encode(Page(i, 32, 32), Way::kUpload, {.keyframe = keyframe}));
    ASSERT_EQ(rig.packets().back().keyframe, i == 0 || keyframe) << i;
  }
  EXPECT_EQ(rig.Difference(0), "");
  const auto header = [&](size_t i) {
    return SliceOf(rig.packets()[i], rig.packets()[0]);
  };
  EXPECT_EQ(header(255).frame_num, 255u);
  EXPECT_EQ(header(256).frame_num, 0u);
  EXPECT_FALSE(header(256).idr);
  EXPECT_EQ(header(299).frame_num, 43u);
  EXPECT_EQ(header(302).frame_num, 1u);
  EXPECT_NE(header(300).idr_pic_id, header(301).idr_pic_id);
  EXPECT_EQ(header(699).frame_num, (699u - 420) % 256);
  rig.Reset();
  EXPECT_EQ(rig.env().Complaints(), "");
}

TEST(VaEncoderTest, EncodesTheKeptPictureAgain) {
  if (!HaveDecoder()) GTEST_SKIP() << "ffmpeg is not installed";
  for (const int depth : {1, 2}) {
    VaRig rig(Settings{{"STRICT", "1"}});
    ASSERT_TRUE(rig.Make({}, {.depth = depth}).ok());
    const auto early = rig.Again(Encoder::Again::kRefine);
    EXPECT_TRUE(absl::IsFailedPrecondition(early.status()));
    ENCODE(kEncoded, rig.Encode(Page(1), Way::kUpload));
    ENCODE(kEncoded, rig.Encode(Page(2), Way::kImport));
    EXPECT_EQ(rig.packets().size(), 3u - static_cast<size_t>(depth));
    ENCODE(kEncoded, rig.Again(Encoder::Again::kRefine));
    // With nothing held back.
    ASSERT_EQ(rig.packets().size(), 3u);
    EXPECT_TRUE(rig.packets()[2].refinement);
    EXPECT_LT(SliceOf(rig.packets()[2], rig.packets()[0]).qp,
              SliceOf(rig.packets()[1], rig.packets()[0]).qp);
    ENCODE(kUnchanged, rig.Again(Encoder::Again::kRefine));
    ENCODE(kEncoded, rig.Again(Encoder::Again::kSkip));
    ENCODE(kEncoded, rig.Again(Encoder::Again::kKeyframe));
    EXPECT_TRUE(rig.packets()[4].keyframe);
    ENCODE(kEncoded, rig.Encode(Page(3), Way::kUpload));
    EXPECT_EQ(rig.Difference(1), "");
    rig.Reset();
    EXPECT_EQ(rig.env().Complaints(), "");
  }
}

TEST(VaEncoderTest, DrawsThePointerIntoWhatItUploads) {
  if (!HaveDecoder()) GTEST_SKIP() << "ffmpeg is not installed";
  auto shape = std::make_shared<CursorShape>();
  shape->width = shape->height = 20;
  for (int i = 0; i < 20 * 20 * 4; ++i)
    shape->bgra.push_back(static_cast<std::byte>(i * 7));
  for (const int depth : {1, 2}) {
    VaRig rig(Settings{{"STRICT", "1"}});
    ASSERT_TRUE(rig.Make({}, {.depth = depth}).ok());
    Pointer pointer = {shape, 5, 3, MonoTime()};
    const EncodeRequest request = {.pointer = &pointer};
    ENCODE(kEncoded, rig.Encode(Page(1), Way::kUpload, request));
    for (int i = 0; i < 6; ++i) {
      pointer.x += 15;
      pointer.y += 11;
      ENCODE(kEncoded, rig.Again(Encoder::Again::kPointer, request));
    }
    EXPECT_TRUE(rig.encoder().draws_pointer());
    ENCODE(kUnchanged, rig.Again(Encoder::Again::kPointer, request));
    pointer.x = 40;
    ENCODE(kEncoded, rig.Encode(Page(2), Way::kUpload, request));
    ENCODE(kEncoded, rig.Again(Encoder::Again::kPointer));
    ENCODE(kUnchanged, rig.Again(Encoder::Again::kPointer));
    EXPECT_EQ(rig.Difference(0), "");
    // The GPU reads it by itself.
    ENCODE(kEncoded, rig.Encode(Page(3), Way::kImport, request));
    EXPECT_FALSE(rig.encoder().draws_pointer());
    pointer.x = 10;
    ENCODE(kUnchanged, rig.Again(Encoder::Again::kPointer, request));
    EXPECT_EQ(rig.Difference(1), "");
    rig.Reset();
    EXPECT_EQ(rig.env().Complaints(), "");
  }
}

TEST(VaEncoderTest, SkipsWhatIsUndamaged) {
  VaRig rig(Settings{{"STRICT", "1"}});
  ASSERT_TRUE(rig.Make().ok());
  const Damage none;
  for (const Way way : {Way::kUpload, Way::kImport}) {
    ENCODE(kEncoded, rig.Encode(Page(1), way));
    ENCODE(kUnchanged, rig.Encode(Page(1), way, {}, &none));
    ENCODE(kUnchanged, rig.Encode(Page(1), way, {.keyframe = true}, &none));
  }
  // The processor also sees that what is called damaged is not.
  ENCODE(kEncoded, rig.Encode(Page(1), Way::kUpload));
  ENCODE(kUnchanged, rig.Encode(Page(1), Way::kUpload));
  EXPECT_EQ(rig.packets().size(), 3u);
}

TEST(VaEncoderTest, BeginsAnewWithAnotherSize) {
  if (!HaveDecoder()) GTEST_SKIP() << "ffmpeg is not installed";
  for (const Way way : {Way::kUpload, Way::kImport}) {
    VaRig rig(Settings{{"STRICT", "1"}, {"LATENCY_US", "3000"}});
    ASSERT_TRUE(rig.Make({}, {.depth = 2}).ok());
    ENCODE(kEncoded, rig.Encode(Page(1, 96, 80), way));
    ENCODE(kEncoded, rig.Encode(Page(2, 96, 80), way));
    ENCODE(kEncoded, rig.Encode(Page(3, 320, 66), way));
    ENCODE(kEncoded, rig.Encode(Page(4, 320, 66), way));
    ENCODE(kEncoded, rig.Encode(Page(5, 64, 80), way));
    EXPECT_EQ(rig.Difference(way == Way::kImport ? 1 : 0), "");
    ASSERT_EQ(rig.packets().size(), 5u);
    EXPECT_TRUE(rig.packets()[2].keyframe);
    EXPECT_FALSE(rig.packets()[3].keyframe);
    EXPECT_TRUE(rig.packets()[4].keyframe);
    EXPECT_EQ(rig.packets()[4].width, 64);
    rig.Reset();
    EXPECT_EQ(rig.env().Complaints(), "");
  }
}

TEST(VaEncoderTest, GrowsACodedBufferThatOverflows) {
  if (!HaveDecoder()) GTEST_SKIP() << "ffmpeg is not installed";
  for (const char* const how : {"sync", "status", "map"}) {
    for (const int depth : {1, 2}) {
      // 96x80 begin with a buffer of 76 KiB, 30 macroblocks and 64 KiB.
      VaRig rig(
          Settings{{"STRICT", "1"}, {"FILLER", "68000"}, {"OVERFLOW", how}});
      // The trial's buffer has room for that: 400 x 256 bytes and 64 KiB.
      ASSERT_TRUE(rig.Make({}, {.depth = depth}).ok());
      for (int i = 0; i < 4; ++i) {
        ENCODE(kEncoded, rig.Encode(Page(i), Way::kUpload));
      }
      EXPECT_EQ(rig.Difference(0), "") << how;
      ASSERT_EQ(rig.packets().size(), 4u);
      // And the filler is nothing that a file needs.
      EXPECT_LT(rig.packets()[0].data.size(), 20'000u);
      rig.Reset();
      EXPECT_EQ(rig.env().Complaints(), "") << how;
    }
  }
}

TEST(VaEncoderTest, TriesToFitIntoALimit) {
  if (!HaveDecoder()) GTEST_SKIP() << "ffmpeg is not installed";
  VaRig rig(Settings{{"STRICT", "1"}});
  ASSERT_TRUE(rig.Make({}, {.depth = 2}).ok());
  ENCODE(kEncoded, rig.Encode(Page(1), Way::kUpload));
  // The test driver is lossless: nothing helps, and it ends all the same.
  ENCODE(kEncoded, rig.Encode(Page(2), Way::kUpload, {.max_bytes = 100}));
  ASSERT_EQ(rig.packets().size(), 2u);
  EXPECT_TRUE(rig.packets()[1].keyframe);
  EXPECT_EQ(SliceOf(rig.packets()[1], rig.packets()[0]).qp,
            RateControl::kQpMax);
  EXPECT_EQ(rig.Difference(0), "");
  rig.Reset();
  EXPECT_EQ(rig.env().Complaints(), "");
}

TEST(VaEncoderTest, LetsTheDriverSteerABitRate) {
  const auto trace = [](const char* modes, uint64_t bitrate) {
    VaRig rig(Settings{{"STRICT", "1"}, {"RC", modes}});
    EXPECT_TRUE(rig.Make({.bitrate = bitrate}).ok());
    EXPECT_TRUE(rig.Encode(Page(1), Way::kUpload).ok());
    EXPECT_TRUE(rig.Encode(Page(2), Way::kUpload).ok());
    rig.Reset();
    EXPECT_EQ(rig.env().Complaints(), "");
    return rig.env().Trace();
  };
  const std::string vbr =
      trace(absl::StrCat(VA_RC_CQP | VA_RC_VBR).c_str(), 2'000'000);
  EXPECT_THAT(vbr, HasSubstr("RateControl bps=3000000 percentage=66"));
  EXPECT_THAT(vbr, HasSubstr("HRD size=3000000"));
  EXPECT_THAT(vbr, HasSubstr("FrameRate 30/1"));
  const std::string cbr =
      trace(absl::StrCat(VA_RC_CQP | VA_RC_CBR).c_str(), 2'000'000);
  EXPECT_THAT(cbr, HasSubstr("RateControl bps=2000000 percentage=100"));
  // By quality, or without a mode for it, it is the quantiser.
  EXPECT_THAT(trace(absl::StrCat(VA_RC_CQP | VA_RC_CBR).c_str(), 0),
              Not(HasSubstr("RateControl bps")));
  EXPECT_THAT(trace(absl::StrCat(VA_RC_CQP).c_str(), 2'000'000),
              Not(HasSubstr("RateControl bps")));
  EXPECT_THAT(trace("0", 2'000'000), Not(HasSubstr("RateControl bps")));
}

TEST(VaEncoderTest, TakesEveryFormatThatItAnnounces) {
  if (!HaveDecoder()) GTEST_SKIP() << "ffmpeg is not installed";
  VaRig rig(Settings{{"STRICT", "1"}});
  ASSERT_TRUE(rig.Make().ok());
  std::vector<uint32_t> fourccs;
  for (const DmabufFormat& format : rig.encoder().description().imports) {
    fourccs.push_back(format.fourcc);
    EXPECT_THAT(format.modifiers, ElementsAre(DRM_FORMAT_MOD_LINEAR));
  }
  EXPECT_THAT(fourccs, ElementsAre(DRM_FORMAT_XRGB8888, DRM_FORMAT_ARGB8888,
                                   DRM_FORMAT_XBGR8888, DRM_FORMAT_ABGR8888,
                                   DRM_FORMAT_NV12));
  for (size_t i = 0; i < 4; ++i) {
    Frame frame = MemfdFrame(Page(static_cast<int>(i)), 1, fourccs[i]);
    ENCODE(kEncoded,
           rig.EncodeFrame(Page(static_cast<int>(i)), std::move(frame)));
  }
  EXPECT_EQ(rig.Difference(1), "");
  rig.Reset();
  EXPECT_EQ(rig.env().Complaints(), "");
}

TEST(VaEncoderTest, SaysWhichMemoryItCannotRead) {
  VaRig rig(Settings{{"STRICT", "1"}});
  ASSERT_TRUE(rig.Make().ok());
  Frame tiled = MemfdFrame(Page(1), 1);
  tiled.format.modifier = I915_FORMAT_MOD_X_TILED;
  ENCODE(kCannotImport, rig.EncodeFrame(Page(1), std::move(tiled)));
  ENCODE(kEncoded, rig.Encode(Page(2), Way::kImport));
  Frame later = MemfdFrame(Page(3), 2);
  later.format.modifier = I915_FORMAT_MOD_X_TILED;
  ENCODE(kCannotImport, rig.EncodeFrame(Page(3), std::move(later)));
  // What the one that was refused would have shown is damaged now.
  const Damage none;
  ENCODE(kEncoded, rig.Encode(Page(3), Way::kImport, {}, &none));
  rig.Reset();
  EXPECT_EQ(rig.env().Complaints(), "");
}

TEST(VaEncoderTest, ReadsByTheProcessorWhatTheGpuCannotTurn) {
  if (!HaveDecoder()) GTEST_SKIP() << "ffmpeg is not installed";
  VaRig rig(Settings{{"STRICT", "1"}});
  ASSERT_TRUE(rig.Make().ok());
  int n = 0;
  for (const Transform transform : {Transform::k90, Transform::kFlipped}) {
    const TestImage page = Page(++n);
    Frame frame = MemfdFrame(Unturn(page, transform), 1);
    frame.transform = transform;
    ENCODE(kEncoded, rig.EncodeFrame(page, std::move(frame)));
  }
  EXPECT_EQ(rig.Difference(0), "");

  VaRig without(Settings{{"STRICT", "1"}, {"NO_VPP", "1"}});
  ASSERT_TRUE(without.Make().ok());
  EXPECT_THAT(without.encoder().description().imports, IsEmpty());
  ENCODE(kEncoded, without.Encode(Page(1), Way::kImport));
  ENCODE(kEncoded, without.Encode(Page(2), Way::kImport));
  EXPECT_EQ(without.Difference(0), "");
}

TEST(VaEncoderTest, KeepsAFrameAsLongAsItIsRead) {
  VaRig rig(Settings{{"STRICT", "1"}, {"LATENCY_US", "20000"}});
  ASSERT_TRUE(rig.Make({}, {.depth = 2}).ok());
  for (int i = 0; i < 3; ++i) {
    ENCODE(kEncoded, rig.Encode(Page(i), Way::kImport, {}, nullptr,
                                static_cast<uint64_t>(i)));
    EXPECT_EQ(rig.frames_lent(), 1) << i;
  }
  ASSERT_TRUE(rig.encoder().Flush(rig.packets()).ok());
  EXPECT_EQ(rig.frames_lent(), 0);
}

TEST(VaEncoderTest, IsOfUseAgainAfterAnyFailure) {
  // Entry points that encoding goes through, in the trial and behind it: a
  // refusal or an error, then a keyframe, and nothing leaked.
  const char* const entries[] = {"CreateConfig",
                                 "CreateSurfaces",
                                 "CreateContext",
                                 "CreateBuffer",
                                 "BeginPicture",
                                 "RenderPicture",
                                 "EndPicture",
                                 "SyncBuffer",
                                 "MapBuffer",
                                 "DeriveImage",
                                 "QuerySurfaceAttributes"};
  int failures = 0;
  for (const char* const entry : entries) {
    for (const int n : {1, 4, 9, 16}) {
      VaRig rig(Settings{{"FAULT", absl::StrCat(entry, ":", n, "=1")}});
      if (!rig.Make().ok()) {
        ++failures;
        EXPECT_EQ(rig.env().Complaints(), "") << entry << " " << n;
        continue;
      }
      for (int i = 0; i < 3; ++i) {
        auto outcome =
            rig.Encode(Page(i), i % 2 == 0 ? Way::kUpload : Way::kImport);
        if (outcome.ok()) continue;
        ++failures;
        const size_t before = rig.packets().size();
        ENCODE(kEncoded, rig.Encode(Page(i), Way::kUpload));
        ASSERT_EQ(rig.packets().size(), before + 1);
        EXPECT_TRUE(rig.packets().back().keyframe) << entry << " " << n;
      }
      rig.Reset();
      EXPECT_EQ(rig.env().Complaints(), "") << entry << " " << n;
    }
  }
  EXPECT_GT(failures, 5);
}

}  // namespace
}  // namespace kine
