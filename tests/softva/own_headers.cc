#include <algorithm>

#include "tests/softva/encode_parts.h"

namespace kine::softva {
namespace {

NalUnit Finished(BitWriter& writer) {
  writer.Trailing();
  return {writer.bytes(), writer.bytes().size() * 8};
}

// As iHD writes it: no colours, and reordering as deep as the references, which
// makes decoders hold pictures back. A client that cares rewrites it.
void WriteVui(const VAEncSequenceParameterBufferH264& sequence,
              BitWriter& writer) {
  const auto& fields = sequence.vui_fields.bits;
  writer.Bit(fields.aspect_ratio_info_present_flag);
  if (fields.aspect_ratio_info_present_flag != 0) {
    writer.Put(8, sequence.aspect_ratio_idc);
    if (sequence.aspect_ratio_idc == 255) {
      writer.Put(16, sequence.sar_width);
      writer.Put(16, sequence.sar_height);
    }
  }
  writer.Put(3, 0);  // Overscan, video signal type, chroma location.
  writer.Bit(fields.timing_info_present_flag);
  if (fields.timing_info_present_flag != 0) {
    writer.Put(32, sequence.num_units_in_tick);
    writer.Put(32, sequence.time_scale);
    writer.Bit(fields.fixed_frame_rate_flag);
  }
  writer.Put(3, 0);  // HRDs, pic_struct.
  writer.Put(2, 3);  // bitstream_restriction, motion over boundaries.
  writer.Ue(0);
  writer.Ue(0);
  writer.Ue(15);
  writer.Ue(15);
  writer.Ue(sequence.max_num_ref_frames);
  writer.Ue(sequence.max_num_ref_frames);
}

}  // namespace

NalUnit MakeSps(const Context& context) {
  const VAEncSequenceParameterBufferH264& sequence = context.sequence;
  const auto& fields = sequence.seq_fields.bits;
  BitWriter writer;
  writer.Put(8, 0x67);
  const bool high = context.config.profile == VAProfileH264High;
  const bool main = context.config.profile == VAProfileH264Main;
  writer.Put(8, high ? 100 : main ? 77 : 66);
  writer.Put(8, high || main ? 0 : 0xc0);
  writer.Put(8, sequence.level_idc);
  writer.Ue(sequence.seq_parameter_set_id);
  if (high) {
    writer.Ue(fields.chroma_format_idc);
    writer.Ue(0);
    writer.Ue(0);
    writer.Put(2, 0);
  }
  writer.Ue(fields.log2_max_frame_num_minus4);
  writer.Ue(fields.pic_order_cnt_type);
  if (fields.pic_order_cnt_type == 0)
    writer.Ue(fields.log2_max_pic_order_cnt_lsb_minus4);
  writer.Ue(sequence.max_num_ref_frames);
  writer.Bit(0);
  writer.Ue(sequence.picture_width_in_mbs - 1u);
  writer.Ue(sequence.picture_height_in_mbs - 1u);
  writer.Bit(1);
  writer.Bit(fields.direct_8x8_inference_flag);
  writer.Bit(sequence.frame_cropping_flag);
  if (sequence.frame_cropping_flag != 0) {
    writer.Ue(sequence.frame_crop_left_offset);
    writer.Ue(sequence.frame_crop_right_offset);
    writer.Ue(sequence.frame_crop_top_offset);
    writer.Ue(sequence.frame_crop_bottom_offset);
  }
  writer.Bit(sequence.vui_parameters_present_flag);
  if (sequence.vui_parameters_present_flag != 0) WriteVui(sequence, writer);
  return Finished(writer);
}

NalUnit MakePps(const Context& context) {
  const VAEncPictureParameterBufferH264& picture = context.input.parameters;
  const auto& fields = picture.pic_fields.bits;
  BitWriter writer;
  writer.Put(8, 0x68);
  writer.Ue(picture.pic_parameter_set_id);
  writer.Ue(picture.seq_parameter_set_id);
  writer.Bit(fields.entropy_coding_mode_flag);
  writer.Bit(0);
  writer.Ue(0);
  writer.Ue(picture.num_ref_idx_l0_active_minus1);
  writer.Ue(picture.num_ref_idx_l1_active_minus1);
  writer.Put(3, 0);
  writer.Se(picture.pic_init_qp - 26);
  writer.Se(0);
  writer.Se(picture.chroma_qp_index_offset);
  writer.Put(3, 4);  // deblocking_filter_control_present_flag
  if (fields.transform_8x8_mode_flag != 0) {
    writer.Put(2, 2);
    writer.Se(picture.second_chroma_qp_index_offset);
  }
  return Finished(writer);
}

void WriteSliceHeader(const Context& context,
                      const VAEncSliceParameterBufferH264& slice,
                      BitWriter& writer) {
  const VAEncPictureParameterBufferH264& picture = context.input.parameters;
  const bool idr = IsIdr(context);
  const bool referenced = picture.pic_fields.bits.reference_pic_flag != 0;
  writer.Put(8, (referenced ? 0x20 : 0) | (idr ? 5 : 1));
  writer.Ue(slice.macroblock_address);
  writer.Ue(IsP(slice) ? 0 : 2);
  writer.Ue(slice.pic_parameter_set_id);
  writer.Put(context.sps.log2_max_frame_num, picture.frame_num);
  if (idr) writer.Ue(slice.idr_pic_id);
  if (context.sps.poc_type == 0)
    writer.Put(context.sps.log2_max_poc_lsb, slice.pic_order_cnt_lsb);
  if (IsP(slice)) {
    writer.Bit(1);  // One active reference,
    writer.Ue(0);
    writer.Bit(1);  // by number.
    const VAPictureH264& reference = slice.RefPicList0[0];
    if ((reference.flags & VA_PICTURE_H264_LONG_TERM_REFERENCE) != 0) {
      writer.Ue(2);
      writer.Ue(reference.frame_idx);
    } else {
      const uint32_t mask = (1u << context.sps.log2_max_frame_num) - 1;
      writer.Ue(0);
      writer.Ue(((picture.frame_num - reference.frame_idx) & mask) - 1);
    }
    writer.Ue(3);
  }
  if (referenced) writer.Put(idr ? 2 : 1, 0);
  if (context.pps.cabac && IsP(slice)) writer.Ue(slice.cabac_init_idc);
  writer.Se(slice.slice_qp_delta);
  if (context.pps.deblocking_control) writer.Ue(1);  // Off.
}

}  // namespace kine::softva
