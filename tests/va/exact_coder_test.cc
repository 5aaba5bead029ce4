// The judge is judged: what a decoder makes of the exact coder's slices.
#include "tests/softva/exact_coder.h"

#include <gtest/gtest.h>

#include <random>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "tests/integration/process.h"
#include "tests/softva/headers.h"
#include "tests/va/raw_video.h"

namespace kine::softva {
namespace {

struct Shape {
  bool cabac;
  uint32_t width_in_mbs;
  uint32_t height_in_mbs;
  uint32_t slices;
  int32_t qp;
  bool deblocking;
};

void PrintTo(const Shape& shape, std::ostream* os) {
  *os << (shape.cabac ? "cabac " : "cavlc ") << shape.width_in_mbs << "x"
      << shape.height_in_mbs << " slices=" << shape.slices << " qp=" << shape.qp
      << " deblocking=" << shape.deblocking;
}

void AddNal(const Bytes& rbsp, Bytes& stream) {
  stream.insert(stream.end(), {0, 0, 0, 1});
  Escape(rbsp, stream);
}

void AddParameterSets(const Shape& shape, Bytes& stream) {
  BitWriter sps;
  sps.Put(32, 0x674d0033);  // Main, level 5.1.
  sps.Ue(0);
  sps.Ue(0);  // log2_max_frame_num_minus4
  sps.Ue(2);  // pic_order_cnt_type
  sps.Ue(1);  // max_num_ref_frames
  sps.Bit(0);
  sps.Ue(shape.width_in_mbs - 1);
  sps.Ue(shape.height_in_mbs - 1);
  sps.Put(4, 0xc);  // frame_mbs_only, direct_8x8_inference; no crop, no VUI.
  sps.Trailing();
  AddNal(sps.bytes(), stream);
  BitWriter pps;
  pps.Put(8, 0x68);
  pps.Ue(0);
  pps.Ue(0);
  pps.Bit(shape.cabac ? 1 : 0);
  pps.Bit(0);
  for (int i = 0; i < 3; ++i) pps.Ue(0);
  pps.Put(3, 0);
  for (int i = 0; i < 3; ++i) pps.Se(0);
  pps.Put(3, 4);  // deblocking_filter_control_present_flag
  pps.Trailing();
  AddNal(pps.bytes(), stream);
}

uint32_t AddPicture(const Shape& shape, uint32_t number, const Picture& picture,
                    const Picture& reference, Bytes& stream) {
  const bool idr = number == 0;
  const uint32_t total = shape.width_in_mbs * shape.height_in_mbs;
  uint32_t skipped = 0;
  for (uint32_t i = 0; i < shape.slices; ++i) {
    SliceJob job;
    job.p = !idr;
    job.cabac = shape.cabac;
    job.cabac_init_idc = number % 3;
    job.qp = shape.qp;
    job.deblocking = shape.deblocking;
    job.first = total * i / shape.slices;
    job.count = total * (i + 1) / shape.slices - job.first;
    BitWriter slice;
    slice.Put(8, idr ? 0x65 : 0x61);
    slice.Ue(job.first);
    slice.Ue(idr ? 7 : 5);
    slice.Ue(0);
    slice.Put(4, number);
    if (idr) slice.Ue(0);
    if (!idr) slice.Put(2, 0);
    slice.Put(idr ? 2 : 1, 0);
    if (shape.cabac && !idr) slice.Ue(job.cabac_init_idc);
    slice.Se(shape.qp - 26);
    slice.Ue(shape.deblocking ? 0 : 1);
    if (shape.deblocking) {
      slice.Se(0);
      slice.Se(0);
    }
    skipped += WriteSliceData(job, picture, idr ? nullptr : &reference, slice);
    AddNal(slice.bytes(), stream);
  }
  return skipped;
}

class ExactCoderTest : public testing::TestWithParam<Shape> {};

TEST_P(ExactCoderTest, ADecoderGivesBackTheInput) {
  if (!HaveProgram("ffmpeg")) GTEST_SKIP() << "ffmpeg is not installed";
  const Shape& shape = GetParam();
  const int width = static_cast<int>(shape.width_in_mbs) * 16;
  const int height = static_cast<int>(shape.height_in_mbs) * 16;
  constexpr int kFrames = 6;
  const std::string video = MovingBlockVideo(width, height, kFrames);
  const size_t luma = static_cast<size_t>(width * height);
  Bytes stream;
  AddParameterSets(shape, stream);
  Picture reference;
  uint32_t skipped = 0;
  for (uint32_t i = 0; i < kFrames; ++i) {
    Picture picture;
    picture.Resize(shape.width_in_mbs, shape.height_in_mbs);
    const char* const frame = video.data() + i * (luma * 3 / 2);
    picture.luma.assign(frame, frame + luma);
    picture.chroma.assign(frame + luma, frame + luma * 3 / 2);
    skipped += AddPicture(shape, i, picture, reference, stream);
    reference = picture;
  }
  const RunDirectory directory;
  const std::string path = directory.File("stream");
  WriteWholeFile(path, std::string(stream.begin(), stream.end()));
  EXPECT_EQ(FirstDifference(DecodeAnnexB(path), video, width, height), "");
  // Where the filter would touch copies, there are none; else most are.
  const bool skips = !shape.deblocking || (shape.qp + 1) / 2 < 16;
  const uint32_t total = shape.width_in_mbs * shape.height_in_mbs;
  if (skips && total > 8) {
    EXPECT_GE(skipped, (total - 8) * (kFrames - 1));
  } else if (!skips) {
    EXPECT_EQ(skipped, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(All, ExactCoderTest,
                         testing::Values(Shape{false, 1, 1, 1, 26, false},
                                         Shape{true, 1, 1, 1, 26, false},
                                         Shape{false, 11, 9, 1, 26, true},
                                         Shape{true, 11, 9, 1, 26, true},
                                         Shape{false, 5, 7, 3, 30, true},
                                         Shape{true, 5, 7, 4, 0, false},
                                         Shape{false, 4, 4, 2, 45, true},
                                         Shape{true, 4, 4, 2, 51, true},
                                         Shape{true, 4, 4, 1, 51, false},
                                         Shape{true, 40, 30, 1, 20, false}));

TEST(StrictHeadersTest, ASliceHeaderEndsWhereItsSyntaxEnds) {
  Sps sps;
  sps.poc_type = 2;
  Pps pps;
  pps.deblocking_control = true;
  BitWriter writer;
  writer.Put(8, 0x65);
  writer.Ue(0);
  writer.Ue(7);
  writer.Ue(0);
  writer.Put(4, 0);
  writer.Ue(1);
  writer.Put(2, 0);
  writer.Se(4);
  writer.Ue(1);
  const size_t bits = 8 + 1 + 7 + 1 + 4 + 3 + 2 + 7 + 3;
  writer.Put(16, 0);
  NalUnit unit{writer.bytes(), bits};
  SliceHeader header;
  EXPECT_EQ(ParseSliceHeader(unit, sps, pps, header), "");
  EXPECT_EQ(header.qp, 30);
  EXPECT_EQ(header.idr_pic_id, 1);
  EXPECT_EQ(header.deblocking_idc, 1);
  unit.bits = bits + 1;
  EXPECT_EQ(ParseSliceHeader(unit, sps, pps, header),
            absl::StrCat("has ", bits + 1, " bits, its syntax ends at ", bits));
  unit.bits = bits - 1;
  EXPECT_EQ(ParseSliceHeader(unit, sps, pps, header),
            "is shorter than its syntax");
}

}  // namespace
}  // namespace kine::softva
