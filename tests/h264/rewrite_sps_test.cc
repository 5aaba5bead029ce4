#include <gtest/gtest.h>

#include "encode/h264/sps.h"
#include "encode/h264/sps_layout.h"
#include "encode/h264/stream_shape.h"
#include "tests/h264/random_headers.h"

namespace kine::h264 {
namespace {

constexpr uint32_t kSeeds = 500;

// The bits [from, to) as text.
std::string Bits(std::span<const std::byte> bytes, uint64_t from, uint64_t to) {
  BitReader r(bytes);
  r.Skip(from);
  std::string text;
  while (r.position() < to) text += r.Flag() ? '1' : '0';
  return text;
}

TEST(RewriteSpsTest, WithoutChangesItIsTheSameBytes) {
  for (uint32_t seed = 0; seed < kSeeds; ++seed) {
    Sps sps;
    const auto escaped = Escape(RandomHeaders(seed).AnyForeignSps(&sps).bytes);
    const auto same = RewriteSps(escaped, {});
    ASSERT_TRUE(same.ok()) << seed << ": " << same.status();
    ASSERT_EQ(*same, escaped) << seed;
  }
}

TEST(RewriteSpsTest, OnlyWhatIsAskedForChanges) {
  for (uint32_t seed = 0; seed < kSeeds; ++seed) {
    RandomHeaders random(seed);
    Sps wanted;
    const auto old_raw = random.AnyForeignSps(&wanted).bytes;
    SpsChanges changes;
    if (random.Coin()) changes.signal = VideoSignal{.color = Color{}};
    if (random.Coin()) changes.chroma_location = ChromaLocation{};
    changes.no_reordering = random.Coin();
    changes.no_fixed_frame_rate = random.Coin();

    const auto rewritten = RewriteSps(Escape(old_raw), changes);
    ASSERT_TRUE(rewritten.ok()) << seed << ": " << rewritten.status();
    const auto new_raw = Unescape(*rewritten);
    const auto before = ReadSpsLayout(old_raw);
    const auto after = ReadSpsLayout(new_raw);
    ASSERT_TRUE(after.ok()) << seed << ": " << after.status();

    if (changes.signal || changes.chroma_location || changes.no_reordering) {
      if (!wanted.vui.has_value()) wanted.vui.emplace();
    }
    if (changes.signal) wanted.vui->signal = changes.signal;
    if (changes.chroma_location)
      wanted.vui->chroma_location = changes.chroma_location;
    if (changes.no_reordering) {
      if (!wanted.vui->restriction) wanted.vui->restriction.emplace();
      wanted.vui->restriction->max_num_reorder_frames = 0;
      wanted.vui->restriction->max_dec_frame_buffering =
          wanted.max_num_ref_frames;
    }
    if (changes.no_fixed_frame_rate && wanted.vui && wanted.vui->timing)
      wanted.vui->timing->fixed_frame_rate = false;
    ASSERT_TRUE(after->sps == wanted) << seed;
    // What Sps does not hold: scaling lists, picture order, HRD.
    ASSERT_EQ(Bits(old_raw, 0, before->vui), Bits(new_raw, 0, after->vui));
    if (before->sps.vui.has_value()) {
      ASSERT_EQ(Bits(old_raw, before->hrd, before->restriction),
                Bits(new_raw, after->hrd, after->restriction))
          << seed;
    }
  }
}

TEST(RewriteSpsTest, TheVisibleSizeIsCropped) {
  Sps sps = SpsFor({.width = 1920, .height = 1088});
  const auto escaped = Escape(WriteSps(sps).bytes);
  SpsChanges changes;
  changes.visible = {1366, 768};
  const auto cropped = RewriteSps(escaped, changes);
  ASSERT_TRUE(cropped.ok()) << cropped.status();
  const auto read = ReadSps(Unescape(*cropped));
  ASSERT_TRUE(read.ok());
  sps.cropping = Cropping{.right = 277, .bottom = 160};
  EXPECT_TRUE(*read == sps);
  changes.visible = {1920, 1088};
  EXPECT_EQ(*RewriteSps(*cropped, changes), escaped);
}

TEST(RewriteSpsTest, AVisibleSizeThatCannotBeIsRefused) {
  const auto rewrite = [](Sps sps, int width, int height) {
    SpsChanges changes;
    changes.visible = {width, height};
    const auto status =
        RewriteSps(Escape(WriteSps(sps).bytes), changes).status();
    return std::string(status.message());
  };
  Sps sps = SpsFor({.width = 64, .height = 48});
  EXPECT_EQ(rewrite(sps, 66, 48), "SPS: 66x48 visible in 64x48 coded");
  EXPECT_EQ(rewrite(sps, 63, 48), "SPS: 63x48 visible in 64x48 coded");
  EXPECT_EQ(rewrite(sps, 64, 0), "SPS: 64x0 visible in 64x48 coded");
  sps.frame_mbs_only = false;
  EXPECT_EQ(rewrite(sps, 64, 48),
            "SPS: cannot crop what is not 4:2:0 in frames");
}

TEST(RewriteSpsTest, WhatCannotBeReadIsNotRewritten) {
  auto escaped = Escape(WriteSps(SpsFor({.width = 64, .height = 48})).bytes);
  escaped.pop_back();
  EXPECT_EQ(RewriteSps(escaped, {}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace kine::h264
