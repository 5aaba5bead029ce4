// What we write, as FFmpeg's own reader of H.264 syntax sees it.
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "encode/h264/picture_headers.h"
#include "encode/h264/stream_shape.h"
#include "tests/h264/random_headers.h"

namespace kine::h264 {
namespace {

// Collects NAL units and what each syntax element in them must be.
class TracedStream {
 public:
  static bool Available() {
    return std::system(
               "ffmpeg -hide_banner -bsfs 2>&1 | grep -q trace_headers") == 0;
  }

  void Add(const RawNal& nal) {
    RawNal whole = nal;
    const NalType type = TypeOf(nal.bytes);
    if (type == NalType::kSlice || type == NalType::kIdrSlice) {
      BitWriter w;  // Some slice data, which is not looked at.
      w.Copy(nal.bytes, 0, nal.bit_length);
      w.Bits(0xabcdef, 24);
      w.Trailing();
      whole = {w.bytes(), w.bit_length()};
    }
    const PackedNal packed = Pack(whole, Emulation::kInTheBytes);
    stream_.insert(stream_.end(), packed.bytes.begin(), packed.bytes.end());
  }
  void Expect(const std::string& name, int64_t value) {
    expected_[name].push_back(value);
  }

  // Every element of these names has the values that were expected, in order.
  void Check() {
    std::string path = absl::StrCat(::testing::TempDir(), "/kine-XXXXXX");
    const int fd = mkstemp(path.data());
    ASSERT_GE(fd, 0);
    ASSERT_EQ(write(fd, stream_.data(), stream_.size()),
              static_cast<ssize_t>(stream_.size()));
    close(fd);
    std::FILE* const pipe =
        popen(absl::StrCat("ffmpeg -hide_banner -nostats -loglevel trace "
                           "-f h264 -i ",
                           path, " -c copy -bsf:v trace_headers -f null - 2>&1")
                  .c_str(),
              "re");
    ASSERT_NE(pipe, nullptr);
    std::array<char, 512> line;
    while (std::fgets(line.data(), line.size(), pipe) != nullptr)
      Take(line.data());
    pclose(pipe);
    unlink(path.c_str());
    for (const auto& [name, values] : expected_)
      EXPECT_EQ(seen_[name], values) << name;
  }

 private:
  // "[trace_headers @ 0x..] 8   profile_idc   01100100 = 100"
  void Take(absl::string_view line) {
    if (!absl::StartsWith(line, "[trace_headers")) return;
    // Before the first packet come the same headers, from the demuxer.
    if (absl::StrContains(line, "] Packet: ")) in_packets_ = true;
    const std::vector<std::string> words =
        absl::StrSplit(line, absl::ByAnyChar(" \n"), absl::SkipEmpty());
    int64_t value = 0;
    if (in_packets_ && words.size() == 8 && words[6] == "=" &&
        absl::SimpleAtoi(words[7], &value)) {
      seen_[words[4]].push_back(value);
    }
  }

  std::vector<std::byte> stream_;
  std::map<std::string, std::vector<int64_t>> expected_;
  std::map<std::string, std::vector<int64_t>> seen_;
  bool in_packets_ = false;
};

void AddSps(const Sps& sps, TracedStream& stream) {
  stream.Add(WriteSps(sps));
  stream.Expect("profile_idc", sps.profile_idc);
  stream.Expect("constraint_set0_flag", sps.constraints >> 7 & 1);
  stream.Expect("constraint_set1_flag", sps.constraints >> 6 & 1);
  stream.Expect("constraint_set4_flag", sps.constraints >> 3 & 1);
  stream.Expect("constraint_set5_flag", sps.constraints >> 2 & 1);
  stream.Expect("level_idc", sps.level_idc);
  stream.Expect("log2_max_frame_num_minus4", sps.log2_max_frame_num - 4);
  stream.Expect("pic_order_cnt_type", sps.poc_type);
  stream.Expect("max_num_ref_frames", sps.max_num_ref_frames);
  stream.Expect("pic_width_in_mbs_minus1", sps.width_in_mbs - 1);
  stream.Expect("pic_height_in_map_units_minus1", sps.height_in_map_units - 1);
  if (sps.cropping.has_value()) {
    stream.Expect("frame_crop_right_offset", sps.cropping->right);
    stream.Expect("frame_crop_bottom_offset", sps.cropping->bottom);
  }
  const Vui& vui = *sps.vui;
  stream.Expect("aspect_ratio_idc", 1);
  stream.Expect("video_full_range_flag", 0);
  stream.Expect("colour_primaries", 1);
  stream.Expect("transfer_characteristics", 1);
  stream.Expect("matrix_coefficients", 1);
  stream.Expect("chroma_sample_loc_type_top_field", 1);
  stream.Expect("num_units_in_tick", vui.timing->num_units_in_tick);
  stream.Expect("time_scale", vui.timing->time_scale);
  stream.Expect("fixed_frame_rate_flag", 0);
  stream.Expect("max_num_reorder_frames", 0);
  stream.Expect("max_dec_frame_buffering",
                vui.restriction->max_dec_frame_buffering);
}

void AddPps(const Pps& pps, TracedStream& stream) {
  stream.Add(WritePps(pps));
  stream.Expect("entropy_coding_mode_flag", pps.cabac);
  stream.Expect("num_ref_idx_l0_default_active_minus1", pps.num_ref_idx_l0 - 1);
  stream.Expect("pic_init_qp_minus26", pps.pic_init_qp - 26);
  stream.Expect("chroma_qp_index_offset", pps.chroma_qp_index_offset);
  stream.Expect("deblocking_filter_control_present_flag",
                pps.deblocking_control_present);
  stream.Expect("constrained_intra_pred_flag", pps.constrained_intra_pred);
  if (!pps.transform_8x8 && !pps.second_chroma_qp_index_offset.has_value())
    return;
  stream.Expect("transform_8x8_mode_flag", pps.transform_8x8);
  stream.Expect(
      "second_chroma_qp_index_offset",
      pps.second_chroma_qp_index_offset.value_or(pps.chroma_qp_index_offset));
}

void AddSlice(const SliceHeader& slice, const Sps& sps, const Pps& pps,
              TracedStream& stream) {
  const bool p = slice.type == SliceHeader::Type::kP;
  stream.Add(WriteSliceHeader(slice, sps, pps));
  stream.Expect("first_mb_in_slice", slice.first_mb);
  stream.Expect("slice_type", (p ? 0 : 2) + (slice.whole_picture ? 5 : 0));
  stream.Expect("frame_num", slice.frame_num);
  if (slice.idr) {
    stream.Expect("idr_pic_id", slice.idr_pic_id);
    stream.Expect("no_output_of_prior_pics_flag",
                  slice.no_output_of_prior_pics);
    stream.Expect("long_term_reference_flag", slice.long_term_reference);
  }
  if (p) {
    const bool override = slice.num_ref_idx_l0 != pps.num_ref_idx_l0;
    stream.Expect("num_ref_idx_active_override_flag",
                  override || slice.override_num_ref_idx);
    if (override || slice.override_num_ref_idx)
      stream.Expect("num_ref_idx_l0_active_minus1", slice.num_ref_idx_l0 - 1);
    if (pps.cabac) stream.Expect("cabac_init_idc", slice.cabac_init_idc);
  }
  stream.Expect("slice_qp_delta", slice.qp - pps.pic_init_qp);
  if (!pps.deblocking_control_present) return;
  stream.Expect("disable_deblocking_filter_idc", slice.disable_deblocking);
  if (slice.disable_deblocking == 1) return;
  stream.Expect("slice_alpha_c0_offset_div2", slice.alpha_c0_offset_div2);
  stream.Expect("slice_beta_offset_div2", slice.beta_offset_div2);
}

// An encoder's stream of one shape: IDR and P pictures, with random details.
void AddSequence(uint32_t seed, TracedStream& stream) {
  RandomHeaders random(seed);
  constexpr Profile kProfiles[] = {Profile::kConstrainedBaseline,
                                   Profile::kMain, Profile::kHigh};
  StreamShape shape;
  shape.profile = kProfiles[seed % 3];
  shape.width = 2 * random.Between(8, 2048);
  shape.height = 2 * random.Between(8, 2048);
  shape.fps_max = random.Between(1, 240);
  shape.max_num_ref_frames = 1 + random.Number(1);
  Sps sps = SpsFor(shape);
  sps.log2_max_frame_num = random.Between(4, 16);
  Pps pps = random.AnyPps();
  pps.id = pps.sps_id = 0;
  pps.redundant_pic_cnt_present = false;
  if (shape.profile != Profile::kHigh) {
    pps.transform_8x8 = false;
    pps.second_chroma_qp_index_offset.reset();
  }
  stream.Add(WriteDelimiter(true));
  stream.Expect("primary_pic_type", 0);
  AddSps(sps, stream);
  AddPps(pps, stream);
  for (int i = 0; i < 4; ++i) {
    SliceHeader slice = random.AnySlice(sps, pps);
    slice.first_mb = 0;
    if (i == 0) {
      slice = {.nal_ref_idc = 3, .type = SliceHeader::Type::kI};
      slice.idr = true;
      slice.idr_pic_id = random.Number(65535);
      slice.qp = random.Between(0, 51);
    } else {
      stream.Add(WriteDelimiter(false));
      stream.Expect("primary_pic_type", 1);
    }
    if (slice.idr) slice.frame_num = 0;
    AddSlice(slice, sps, pps, stream);
  }
}

TEST(TraceHeadersTest, FfmpegReadsWhatWeWrote) {
  if (!TracedStream::Available()) GTEST_SKIP() << "no ffmpeg";
  TracedStream stream;
  for (uint32_t seed = 0; seed < 40; ++seed) AddSequence(seed, stream);
  stream.Check();
}

TEST(TraceHeadersTest, FfmpegReadsOurSei) {
  if (!TracedStream::Available()) GTEST_SKIP() << "no ffmpeg";
  TracedStream stream;
  const Sps sps = SpsFor({.width = 64, .height = 48});
  AddSps(sps, stream);
  AddPps({}, stream);
  std::array<std::byte, 16> uuid{};
  const SeiMessage messages[] = {UserData(uuid, std::string(300, 'k')),
                                 RecoveryPoint(7, true)};
  stream.Add(WriteSei(messages));
  stream.Expect("recovery_frame_cnt", 7);
  stream.Expect("exact_match_flag", 1);
  SliceHeader slice;
  slice.idr = true;
  slice.type = SliceHeader::Type::kI;
  AddSlice(slice, sps, {}, stream);
  stream.Check();
}

}  // namespace
}  // namespace kine::h264
