// Every kind of driver, every size and way in: what a decoder gives back is
// what went in, and the driver finds nothing wrong with its client.
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "encode/h264/nal.h"
#include "encode/h264/sps.h"
#include "tests/va/va_rig.h"

namespace kine {
namespace {

struct Size {
  int width;
  int height;
};

struct Case {
  const char* packed;
  const char* entry;
  bool derives;
  const char* segments;
  Size size;
  int depth;
  VaRig::Way way;
};

std::string CaseName(const testing::TestParamInfo<Case>& info) {
  const Case& c = info.param;
  return absl::StrCat(info.index, "_packed", c.packed, "_", c.entry,
                      c.derives ? "_derive_" : "_put_", c.segments, "_",
                      c.size.width, "x", c.size.height, "_depth", c.depth,
                      c.way == VaRig::Way::kImport ? "_import" : "_upload");
}

std::vector<Case> Cases() {
  std::vector<Case> cases;
  const char* const packed[] = {"0x1f", "0", "3"};
  // Every driver with one size; depth and way change from case to case.
  int n = 0;
  for (const char* const bits : packed) {
    for (const char* const entry : {"slice", "lp"}) {
      for (const bool derives : {true, false}) {
        for (const char* const segments : {"one", "nal"}) {
          for (const VaRig::Way way :
               {VaRig::Way::kUpload, VaRig::Way::kImport}) {
            cases.push_back({bits,
                             entry,
                             derives,
                             segments,
                             {322, 242},
                             1 + n++ % 3 % 2,
                             way});
          }
        }
      }
    }
  }
  // Every size, depth and way with drivers that change from case to case.
  for (const Size size : {Size{16, 16}, {17, 33}, {1366, 768}, {1920, 1080}}) {
    for (const int depth : {1, 2}) {
      for (const VaRig::Way way : {VaRig::Way::kUpload, VaRig::Way::kImport}) {
        // The large ones cost seconds: each way once, each depth once.
        if (size.width > 1000 && (depth == 2) != (way == VaRig::Way::kUpload)) {
          continue;
        }
        cases.push_back({packed[n % 3], n % 2 == 0 ? "slice" : "lp", n % 4 < 2,
                         n % 8 < 4 ? "nal" : "one", size, depth, way});
        ++n;
      }
    }
  }
  return cases;
}

// What a player must know, whoever wrote the SPS.
void ExpectSps(const Packet& packet, Size size) {
  const auto units = h264::SplitAvcc(packet.data);
  ASSERT_TRUE(units.ok()) << units.status();
  ASSERT_EQ(h264::TypeOf(units->front()), h264::NalType::kSps);
  const auto sps = h264::ReadSps(h264::Unescape(units->front()));
  ASSERT_TRUE(sps.ok()) << sps.status();
  const h264::Cropping crop = sps->cropping.value_or(h264::Cropping());
  EXPECT_EQ(sps->width_in_mbs * 16 - crop.right * 2,
            static_cast<uint32_t>((size.width + 1) & ~1));
  EXPECT_EQ(sps->height_in_map_units * 16 - crop.bottom * 2,
            static_cast<uint32_t>((size.height + 1) & ~1));
  ASSERT_TRUE(sps->vui.has_value());
  ASSERT_TRUE(sps->vui->restriction.has_value());
  EXPECT_EQ(sps->vui->restriction->max_num_reorder_frames, 0u);
  EXPECT_EQ(sps->vui->restriction->max_dec_frame_buffering, 1u);
  ASSERT_TRUE(sps->vui->signal.has_value());
  EXPECT_FALSE(sps->vui->signal->full_range);
  EXPECT_EQ(sps->vui->signal->color, h264::Color());
}

class VaMatrixTest : public testing::TestWithParam<Case> {};

TEST_P(VaMatrixTest, DecodesToItsInput) {
  if (!HaveDecoder()) GTEST_SKIP() << "ffmpeg is not installed";
  const Case& c = GetParam();
  SoftVaEnv::Settings settings = {
      {"STRICT", "1"},          {"PACKED", c.packed},     {"EP", c.entry},
      {"SEGMENTS", c.segments}, {"NEED_CODED_SIZE", "1"}, {"NEED_PACKED", "1"},
      {"LATENCY_US", "2000"}};
  if (!c.derives) settings.emplace_back("NO_DERIVE", "1");
  VaRig rig(settings);
  const absl::Status made = rig.Make({}, {.depth = c.depth});
  ASSERT_TRUE(made.ok()) << made;

  TestImage image = RandomImage(c.size.width, c.size.height, 7);
  for (int i = 0; i < 4; ++i) {
    Damage damage;
    const Rect rect = {c.size.width / 3, i * 5 % 13, c.size.width / 4 + 1, 3};
    image.Fill(rect, {uint8_t(40 * i), 200, uint8_t(255 - 30 * i)});
    damage.Add(rect);
    const auto outcome = rig.Encode(image, c.way, {.keyframe = i == 3},
                                    i == 0 ? nullptr : &damage, i % 3);
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    ASSERT_EQ(*outcome, Encoder::Outcome::kEncoded);
  }
  // The GPU's conversion rounds otherwise; nothing else may differ.
  const bool gpu = c.way == VaRig::Way::kImport && c.size.width % 2 == 0;
  EXPECT_EQ(rig.Difference(gpu ? 1 : 0), "");
  ASSERT_EQ(rig.packets().size(), 4u);
  EXPECT_TRUE(rig.packets()[0].keyframe);
  EXPECT_FALSE(rig.packets()[1].keyframe);
  EXPECT_TRUE(rig.packets()[3].keyframe);
  ExpectSps(rig.packets()[0], c.size);
  ExpectSps(rig.packets()[3], c.size);
  rig.Reset();
  EXPECT_EQ(rig.env().Complaints(), "");
}

INSTANTIATE_TEST_SUITE_P(All, VaMatrixTest, testing::ValuesIn(Cases()),
                         CaseName);

}  // namespace
}  // namespace kine
