#include <algorithm>
#include <array>

#include "tests/softva/encode_parts.h"

namespace kine::softva {
namespace {

void Same(Driver& driver, const char* what, int64_t header, int64_t buffer) {
  if (header == buffer) return;
  driver.Complain("%s: the packed header says %lld, the VA buffer %lld", what,
                  static_cast<long long>(header),
                  static_cast<long long>(buffer));
}

void Within(Driver& driver, const char* what, int64_t value, int64_t from,
            int64_t to) {
  if (value >= from && value <= to) return;
  driver.Complain("%s is %lld, not %lld to %lld", what,
                  static_cast<long long>(value), static_cast<long long>(from),
                  static_cast<long long>(to));
}

template <size_t N>
void Reserved(Driver& driver, const char* what, const uint32_t (&words)[N]) {
  if (std::any_of(std::begin(words), std::end(words),
                  [](uint32_t word) { return word != 0; }))
    driver.Complain("va_reserved of %s is not zero", what);
}

// Table A-1: macroblocks of a picture, and of the decoded picture buffer.
struct Level {
  uint8_t idc;
  uint32_t max_frame_mbs;
  uint32_t max_dpb_mbs;
};
constexpr std::array<Level, 19> kLevels = {{
    {10, 99, 396},        {11, 396, 900},       {12, 396, 2376},
    {13, 396, 2376},      {20, 396, 2376},      {21, 792, 4752},
    {22, 1620, 8100},     {30, 1620, 8100},     {31, 3600, 18000},
    {32, 5120, 20480},    {40, 8192, 32768},    {41, 8192, 32768},
    {42, 8704, 34816},    {50, 22080, 110400},  {51, 36864, 184320},
    {52, 36864, 184320},  {60, 139264, 696320}, {61, 139264, 696320},
    {62, 139264, 696320},
}};

void CheckLevel(Driver& driver,
                const VAEncSequenceParameterBufferH264& sequence) {
  const auto* const level = std::find_if(
      kLevels.begin(), kLevels.end(),
      [&](const Level& one) { return one.idc == sequence.level_idc; });
  if (level == kLevels.end()) {
    driver.Complain("level_idc %u is none", sequence.level_idc);
    return;
  }
  const uint32_t mbs =
      uint32_t{sequence.picture_width_in_mbs} * sequence.picture_height_in_mbs;
  if (mbs > level->max_frame_mbs ||
      mbs * sequence.max_num_ref_frames > level->max_dpb_mbs)
    driver.Complain("level_idc %u is too low for %u macroblocks, %u references",
                    sequence.level_idc, mbs, sequence.max_num_ref_frames);
}

void CompareSps(Driver& driver, const Context& context) {
  const Sps& sps = context.sps;
  const auto& sequence = context.sequence;
  const auto& fields = sequence.seq_fields.bits;
  const VAProfile profile = context.config.profile;
  Same(driver, "profile_idc", sps.profile,
       profile == VAProfileH264High   ? 100
       : profile == VAProfileH264Main ? 77
                                      : 66);
  Same(driver, "level_idc", sps.level, sequence.level_idc);
  Same(driver, "seq_parameter_set_id", sps.id, sequence.seq_parameter_set_id);
  Same(driver, "chroma_format_idc", sps.chroma_format,
       fields.chroma_format_idc);
  Same(driver, "pic_width_in_mbs", sps.width_in_mbs,
       sequence.picture_width_in_mbs);
  Same(driver, "pic_height_in_mbs", sps.height_in_mbs,
       sequence.picture_height_in_mbs);
  Same(driver, "log2_max_frame_num", sps.log2_max_frame_num,
       fields.log2_max_frame_num_minus4 + 4);
  Same(driver, "pic_order_cnt_type", sps.poc_type, fields.pic_order_cnt_type);
  if (sps.poc_type == 0)
    Same(driver, "log2_max_pic_order_cnt_lsb", sps.log2_max_poc_lsb,
         fields.log2_max_pic_order_cnt_lsb_minus4 + 4);
  Same(driver, "max_num_ref_frames", sps.max_num_ref_frames,
       sequence.max_num_ref_frames);
  Same(driver, "frame_cropping_flag", sps.crop, sequence.frame_cropping_flag);
  if (sps.crop) {
    Same(driver, "frame_crop_left", sps.crop_left,
         sequence.frame_crop_left_offset);
    Same(driver, "frame_crop_right", sps.crop_right,
         sequence.frame_crop_right_offset);
    Same(driver, "frame_crop_top", sps.crop_top,
         sequence.frame_crop_top_offset);
    Same(driver, "frame_crop_bottom", sps.crop_bottom,
         sequence.frame_crop_bottom_offset);
  }
  driver.Log(
      "SPS profile=%u constraints=0x%x level=%u refs=%u poc_type=%u vui=%d "
      "full_range=%d colours=%u/%u/%u timing=%u/%u fixed=%d restriction=%d "
      "reorder=%u buffering=%u",
      sps.profile, sps.constraints, sps.level, sps.max_num_ref_frames,
      sps.poc_type, sps.vui, sps.full_range, sps.primaries, sps.transfer,
      sps.matrix, sps.num_units_in_tick, sps.time_scale, sps.fixed_frame_rate,
      sps.restriction, sps.num_reorder_frames, sps.max_dec_frame_buffering);
}

void ComparePps(Driver& driver, const Context& context) {
  const Pps& pps = context.pps;
  const auto& picture = context.input.parameters;
  const auto& fields = picture.pic_fields.bits;
  Same(driver, "pic_parameter_set_id", pps.id, picture.pic_parameter_set_id);
  Same(driver, "entropy_coding_mode_flag", pps.cabac,
       fields.entropy_coding_mode_flag);
  Same(driver, "pic_init_qp", pps.init_qp, picture.pic_init_qp);
  Same(driver, "transform_8x8_mode_flag", pps.transform_8x8,
       fields.transform_8x8_mode_flag);
  Same(driver, "deblocking_filter_control_present_flag", pps.deblocking_control,
       fields.deblocking_filter_control_present_flag);
  Same(driver, "chroma_qp_index_offset", pps.chroma_qp_offset,
       picture.chroma_qp_index_offset);
  Same(driver, "num_ref_idx_l0_default_active", pps.num_ref_l0,
       picture.num_ref_idx_l0_active_minus1 + 1);
}

// The frames in front exist, those behind are marked unused.
void CheckReferences(Driver& driver, const Context& context) {
  uint32_t used = 0;
  bool ended = false;
  bool unmarked = false;
  for (const VAPictureH264& one : context.input.parameters.ReferenceFrames) {
    const bool marked = (one.flags & VA_PICTURE_H264_INVALID) != 0;
    const bool named = one.picture_id != VA_INVALID_SURFACE;
    unmarked = unmarked || marked == named;
    ended = ended || marked || !named;
    if (marked || !named) continue;
    ++used;
    if (ended) driver.Complain("ReferenceFrames has a hole");
    if (Find(driver.surfaces, one.picture_id) == nullptr)
      driver.Complain("a reference is not a surface: 0x%x", one.picture_id);
    if ((one.flags & (VA_PICTURE_H264_SHORT_TERM_REFERENCE |
                      VA_PICTURE_H264_LONG_TERM_REFERENCE)) == 0)
      driver.Complain("a reference is neither short nor long term");
  }
  if (unmarked)
    driver.Complain(
        "an unused reference is not marked invalid, or has a surface");
  if (used > context.sequence.max_num_ref_frames)
    driver.Complain("%u references, max_num_ref_frames is %u", used,
                    context.sequence.max_num_ref_frames);
  if (IsIdr(context) && used > 0)
    driver.Complain("an IDR picture has %u references", used);
}

// Against the picture before: frame_num goes on, adjacent IDRs differ.
void CheckOrder(Driver& driver, const Context& context) {
  const auto& picture = context.input.parameters;
  const uint32_t modulus =
      1u << (context.sequence.seq_fields.bits.log2_max_frame_num_minus4 + 4);
  if (picture.frame_num >= modulus)
    driver.Complain("frame_num %u is not below %u", picture.frame_num, modulus);
  const uint32_t idr_pic_id = context.input.slices[0].parameters.idr_pic_id;
  if (IsIdr(context)) {
    if (picture.frame_num != 0 || picture.CurrPic.TopFieldOrderCnt != 0)
      driver.Complain("an IDR picture has frame_num %u and POC %d",
                      picture.frame_num, picture.CurrPic.TopFieldOrderCnt);
    if (context.last_was_idr && context.last_idr_pic_id == idr_pic_id)
      driver.Complain("two IDR pictures in a row have idr_pic_id %u",
                      idr_pic_id);
    if (!context.input.new_sequence)
      driver.Complain("an IDR picture comes without sequence parameters");
  } else if (context.pictures == 0) {
    driver.Complain("the first picture is not an IDR picture");
  } else if (picture.frame_num != (context.last_frame_num + 1) % modulus) {
    driver.Complain("frame_num %u follows %u", picture.frame_num,
                    context.last_frame_num);
  }
}

}  // namespace

void CheckSequence(Driver& driver, const Context& context,
                   const PackedSets& sets) {
  const auto& sequence = context.sequence;
  const auto& fields = sequence.seq_fields.bits;
  if (sets.sps) CompareSps(driver, context);
  if (!context.input.new_sequence) return;
  Reserved(driver, "the sequence", sequence.va_reserved);
  Within(driver, "chroma_format_idc", fields.chroma_format_idc, 1, 1);
  Within(driver, "frame_mbs_only_flag", fields.frame_mbs_only_flag, 1, 1);
  Within(driver, "ip_period", sequence.ip_period, 1, 1);
  // Mesa puts 30 in the place of 0.
  Within(driver, "intra_idr_period", sequence.intra_idr_period, 1, UINT32_MAX);
  Within(driver, "max_num_ref_frames", sequence.max_num_ref_frames, 0, 4);
  Within(driver, "log2_max_frame_num_minus4", fields.log2_max_frame_num_minus4,
         0, 12);
  CheckLevel(driver, sequence);
  const bool by_rate = context.config.rate_control != VA_RC_CQP &&
                       context.config.rate_control != VA_RC_NONE;
  if (by_rate && !context.has_rate_control)
    driver.Complain("rate control 0x%x without its parameters",
                    context.config.rate_control);
}

void CheckPicture(Driver& driver, const Context& context,
                  const PackedSets& sets) {
  const auto& picture = context.input.parameters;
  const auto& fields = picture.pic_fields.bits;
  const VAProfile profile = context.config.profile;
  if (sets.pps) ComparePps(driver, context);
  Reserved(driver, "the picture", picture.va_reserved);
  if ((picture.CurrPic.flags & VA_PICTURE_H264_INVALID) != 0)
    driver.Complain("CurrPic is marked invalid");
  if (picture.CurrPic.frame_idx != picture.frame_num)
    driver.Complain("CurrPic.frame_idx %u is not frame_num %u",
                    picture.CurrPic.frame_idx, picture.frame_num);
  Within(driver, "pic_init_qp", picture.pic_init_qp, 0, 51);
  if (fields.entropy_coding_mode_flag != 0 &&
      profile == VAProfileH264ConstrainedBaseline)
    driver.Complain("CABAC in Constrained Baseline");
  if (fields.transform_8x8_mode_flag != 0 && profile != VAProfileH264High)
    driver.Complain("the 8x8 transform below High");
  CheckReferences(driver, context);
  CheckOrder(driver, context);
}

void CheckSlice(Driver& driver, const Context& context, const Slice& slice) {
  const auto& in = slice.parameters;
  const auto& picture = context.input.parameters;
  Reserved(driver, "a slice", in.va_reserved);
  if (in.slice_type % 5 != 0 && in.slice_type % 5 != 2)
    driver.Complain("slice_type %u is neither P nor I", in.slice_type);
  if (IsIdr(context) && in.slice_type % 5 != 2)
    driver.Complain("a slice of an IDR picture is not I");
  if (in.macroblock_info != VA_INVALID_ID)
    driver.Complain("macroblock_info is not VA_INVALID_ID");
  Within(driver, "the slice's QP", picture.pic_init_qp + in.slice_qp_delta, 0,
         51);
  Within(driver, "cabac_init_idc", in.cabac_init_idc, 0, 2);
  Within(driver, "disable_deblocking_filter_idc",
         in.disable_deblocking_filter_idc, 0, 2);
  const uint32_t active = in.num_ref_idx_active_override_flag != 0
                              ? in.num_ref_idx_l0_active_minus1 + 1u
                              : picture.num_ref_idx_l0_active_minus1 + 1u;
  for (uint32_t i = IsP(in) ? active : 0; i < 32; ++i) {
    const VAPictureH264& unused = in.RefPicList0[i];
    if (unused.picture_id == VA_INVALID_SURFACE &&
        (unused.flags & VA_PICTURE_H264_INVALID) != 0)
      continue;
    driver.Complain("RefPicList0[%u] is unused and not marked invalid", i);
    break;
  }
}

void CheckSliceHeader(Driver& driver, const Context& context,
                      const Slice& slice, const SliceHeader& header) {
  const auto& in = slice.parameters;
  const auto& picture = context.input.parameters;
  Same(driver, "nal_unit_type 5", header.nal_type == 5, IsIdr(context));
  Same(driver, "nal_ref_idc above 0", header.ref_idc != 0,
       picture.pic_fields.bits.reference_pic_flag);
  Same(driver, "first_mb_in_slice", header.first_mb, in.macroblock_address);
  Same(driver, "slice_type", header.type, in.slice_type % 5);
  Same(driver, "frame_num", header.frame_num, picture.frame_num);
  if (IsIdr(context))
    Same(driver, "idr_pic_id", header.idr_pic_id, in.idr_pic_id);
  if (context.sps.poc_type == 0) {
    const uint32_t mask = (1u << context.sps.log2_max_poc_lsb) - 1;
    Same(driver, "pic_order_cnt_lsb", header.poc_lsb,
         in.pic_order_cnt_lsb & mask);
    Same(driver, "CurrPic.TopFieldOrderCnt", header.poc_lsb,
         static_cast<uint32_t>(picture.CurrPic.TopFieldOrderCnt) & mask);
  }
  Same(driver, "the slice's QP", header.qp,
       picture.pic_init_qp + in.slice_qp_delta);
  Same(driver, "disable_deblocking_filter_idc", header.deblocking_idc,
       in.disable_deblocking_filter_idc);
  if (header.type != 0) return;
  if (context.pps.cabac)
    Same(driver, "cabac_init_idc", header.cabac_init_idc, in.cabac_init_idc);
  Same(driver, "num_ref_idx_l0_active", header.num_ref_l0,
       (in.num_ref_idx_active_override_flag != 0
            ? in.num_ref_idx_l0_active_minus1
            : picture.num_ref_idx_l0_active_minus1) +
           1);
}

}  // namespace kine::softva
