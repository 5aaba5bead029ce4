#include "encode/va/va_parameters.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "encode/h264/stream_shape.h"

namespace kine {
namespace {

// Pictures until the driver's rate control may expect a keyframe. Not 0, which
// Mesa takes for 30; not "infinite", which some cannot count to. Keyframes come
// when we say so.
constexpr uint32_t kIntraPeriod = 2048;
// VBR: the peak is this much of the mean, over one second.
constexpr uint64_t kPeakPercent = 150;
constexpr uint32_t kWindowMs = 1000;
constexpr uint32_t kHrdFullnessPercent = 75;

VAPictureH264 NoPicture() {
  VAPictureH264 picture = {};
  picture.picture_id = VA_INVALID_SURFACE;
  picture.flags = VA_PICTURE_H264_INVALID;
  return picture;
}

VAPictureH264 Reference(const VaPicture& picture, const VaPictureIds& ids) {
  VAPictureH264 reference = {};
  reference.picture_id = ids.reference;
  reference.frame_idx = picture.reference_frame_num;
  reference.flags = VA_PICTURE_H264_SHORT_TERM_REFERENCE;
  reference.TopFieldOrderCnt = picture.reference_order;
  reference.BottomFieldOrderCnt = picture.reference_order;
  return reference;
}

h264::Profile ProfileOf(VAProfile profile) {
  switch (profile) {
    case VAProfileH264High:
      return h264::Profile::kHigh;
    case VAProfileH264Main:
      return h264::Profile::kMain;
    default:
      return h264::Profile::kConstrainedBaseline;
  }
}

uint64_t PeakOf(const VaRate& rate) {
  const uint64_t peak = rate.mode == VA_RC_CBR
                            ? rate.bits_per_second
                            : rate.bits_per_second * kPeakPercent / 100;
  return std::min<uint64_t>(peak, UINT32_MAX);
}

template <typename Parameter>
std::vector<std::byte> Misc(VAEncMiscParameterType type,
                            const Parameter& parameter) {
  std::vector<std::byte> bytes(sizeof(VAEncMiscParameterBuffer) +
                               sizeof(parameter));
  VAEncMiscParameterBuffer head = {};
  head.type = type;
  std::memcpy(bytes.data(), &head, sizeof(head));
  std::memcpy(bytes.data() + offsetof(VAEncMiscParameterBuffer, data),
              &parameter, sizeof(parameter));
  return bytes;
}

VAEncMiscParameterRateControl RateControlParameter(const VaRate& rate,
                                                   int qp_at_least) {
  VAEncMiscParameterRateControl p = {};
  p.bits_per_second = static_cast<uint32_t>(PeakOf(rate));
  p.target_percentage = rate.mode == VA_RC_CBR
                            ? 100
                            : static_cast<uint32_t>(10000 / kPeakPercent);
  p.window_size = kWindowMs;
  p.min_qp = static_cast<uint32_t>(qp_at_least);
  p.rc_flags.bits.disable_frame_skip = 1;
  // Else some fill a still screen up to the rate with zeros.
  p.rc_flags.bits.disable_bit_stuffing = 1;
  const int quality = std::max(rate.quality_qp, qp_at_least);
  p.ICQ_quality_factor = static_cast<uint32_t>(std::clamp(quality, 1, 51));
  p.quality_factor = p.ICQ_quality_factor;
  return p;
}

}  // namespace

VaStream StreamFor(const VaCodec& codec, const VaRate& rate, int width,
                   int height) {
  h264::StreamShape shape;
  shape.profile = ProfileOf(codec.profile);
  shape.width = width;
  shape.height = height;
  shape.fps_max = rate.fps;
  shape.bits_per_second = PeakOf(rate);
  VaStream stream;
  stream.sps = h264::SpsFor(shape);
  stream.sps.log2_max_frame_num = VaGop::kLog2MaxFrameNum;
  stream.pps.cabac = shape.profile != h264::Profile::kConstrainedBaseline;
  stream.pps.transform_8x8 = shape.profile == h264::Profile::kHigh;
  stream.rate = rate;
  return stream;
}

VAEncSequenceParameterBufferH264 SequenceParameters(const VaStream& stream) {
  const h264::Sps& sps = stream.sps;
  VAEncSequenceParameterBufferH264 p = {};
  p.level_idc = sps.level_idc;
  p.intra_period = kIntraPeriod;
  p.intra_idr_period = kIntraPeriod;
  p.ip_period = 1;
  p.bits_per_second = static_cast<uint32_t>(PeakOf(stream.rate));
  p.max_num_ref_frames = sps.max_num_ref_frames;
  p.picture_width_in_mbs = static_cast<uint16_t>(sps.width_in_mbs);
  p.picture_height_in_mbs = static_cast<uint16_t>(sps.height_in_map_units);
  auto& bits = p.seq_fields.bits;
  bits.chroma_format_idc = 1;
  bits.frame_mbs_only_flag = 1;
  bits.direct_8x8_inference_flag = sps.direct_8x8_inference ? 1 : 0;
  bits.log2_max_frame_num_minus4 =
      static_cast<uint32_t>(sps.log2_max_frame_num - 4) & 15;
  bits.pic_order_cnt_type = sps.poc_type & 3;
  if (sps.cropping.has_value()) {
    p.frame_cropping_flag = 1;
    p.frame_crop_left_offset = sps.cropping->left;
    p.frame_crop_right_offset = sps.cropping->right;
    p.frame_crop_top_offset = sps.cropping->top;
    p.frame_crop_bottom_offset = sps.cropping->bottom;
  }
  if (sps.vui.has_value()) {
    const h264::Vui& vui = *sps.vui;
    p.vui_parameters_present_flag = 1;
    if (vui.aspect_ratio.has_value()) {
      p.vui_fields.bits.aspect_ratio_info_present_flag = 1;
      p.aspect_ratio_idc = vui.aspect_ratio->idc;
    }
    if (vui.timing.has_value()) {
      p.vui_fields.bits.timing_info_present_flag = 1;
      p.num_units_in_tick = vui.timing->num_units_in_tick;
      p.time_scale = vui.timing->time_scale;
    }
    if (vui.restriction.has_value()) {
      p.vui_fields.bits.bitstream_restriction_flag = 1;
      p.vui_fields.bits.motion_vectors_over_pic_boundaries_flag = 1;
      p.vui_fields.bits.log2_max_mv_length_horizontal =
          vui.restriction->log2_max_mv_length_horizontal & 31;
      p.vui_fields.bits.log2_max_mv_length_vertical =
          vui.restriction->log2_max_mv_length_vertical & 31;
    }
  }
  return p;
}

VAEncPictureParameterBufferH264 PictureParameters(const VaStream& stream,
                                                  const VaPicture& picture,
                                                  const VaPictureIds& ids) {
  VAEncPictureParameterBufferH264 p = {};
  p.CurrPic.picture_id = ids.reconstructed;
  p.CurrPic.frame_idx = picture.frame_num;
  p.CurrPic.TopFieldOrderCnt = picture.order;
  p.CurrPic.BottomFieldOrderCnt = picture.order;
  p.CurrPic.flags = VA_PICTURE_H264_SHORT_TERM_REFERENCE;
  std::fill(std::begin(p.ReferenceFrames), std::end(p.ReferenceFrames),
            NoPicture());
  if (!picture.idr) p.ReferenceFrames[0] = Reference(picture, ids);
  p.coded_buf = ids.coded;
  p.frame_num = picture.frame_num;
  p.pic_init_qp = static_cast<uint8_t>(
      stream.qp_in_pic_init_qp ? picture.qp : stream.pps.pic_init_qp);
  auto& bits = p.pic_fields.bits;
  bits.idr_pic_flag = picture.idr ? 1 : 0;
  bits.reference_pic_flag = 1;
  bits.entropy_coding_mode_flag = stream.pps.cabac ? 1 : 0;
  bits.transform_8x8_mode_flag = stream.pps.transform_8x8 ? 1 : 0;
  bits.deblocking_filter_control_present_flag =
      stream.pps.deblocking_control_present ? 1 : 0;
  return p;
}

VAEncSliceParameterBufferH264 SliceParameters(const VaStream& stream,
                                              const VaPicture& picture,
                                              const VaPictureIds& ids) {
  VAEncSliceParameterBufferH264 p = {};
  p.num_macroblocks = static_cast<uint32_t>(stream.macroblocks());
  p.macroblock_info = VA_INVALID_ID;
  p.slice_type = picture.idr ? 2 : 0;  // Not 5 and 7, which Mesa asserts on.
  p.idr_pic_id = picture.idr_pic_id;
  std::fill(std::begin(p.RefPicList0), std::end(p.RefPicList0), NoPicture());
  std::fill(std::begin(p.RefPicList1), std::end(p.RefPicList1), NoPicture());
  if (!picture.idr) p.RefPicList0[0] = Reference(picture, ids);
  if (!stream.qp_in_pic_init_qp) {
    p.slice_qp_delta = static_cast<int8_t>(picture.qp - stream.pps.pic_init_qp);
  }
  return p;
}

h264::SliceHeader SliceHeaderFor(const VaStream& stream,
                                 const VaPicture& picture) {
  h264::SliceHeader header;
  header.idr = picture.idr;
  header.nal_ref_idc = picture.idr ? 3 : 1;
  header.type =
      picture.idr ? h264::SliceHeader::Type::kI : h264::SliceHeader::Type::kP;
  header.whole_picture = false;
  header.frame_num = picture.frame_num;
  header.idr_pic_id = picture.idr_pic_id;
  header.qp = stream.qp_in_pic_init_qp ? stream.pps.pic_init_qp : picture.qp;
  return header;
}

std::vector<std::vector<std::byte>> MiscParameters(const VaStream& stream,
                                                   int qp_at_least) {
  std::vector<std::vector<std::byte>> all;
  const VaRate& rate = stream.rate;
  if (rate.mode != VA_RC_CQP) {
    all.push_back(Misc(VAEncMiscParameterTypeRateControl,
                       RateControlParameter(rate, qp_at_least)));
    // In thousandths, for rates like 29.97; both halves have 16 bits.
    VAEncMiscParameterFrameRate frames = {};
    const bool whole = rate.fps == std::floor(rate.fps);
    const uint32_t per = whole ? 1 : 100;
    frames.framerate =
        static_cast<uint32_t>(std::lround(rate.fps * per)) | per << 16;
    all.push_back(Misc(VAEncMiscParameterTypeFrameRate, frames));
  }
  if (rate.bits_per_second != 0 && rate.mode != VA_RC_CQP) {
    VAEncMiscParameterHRD hrd = {};
    hrd.buffer_size = static_cast<uint32_t>(PeakOf(rate));
    hrd.initial_buffer_fullness =
        static_cast<uint32_t>(PeakOf(rate) * kHrdFullnessPercent / 100);
    all.push_back(Misc(VAEncMiscParameterTypeHRD, hrd));
  }
  if (stream.quality_level != 0) {
    VAEncMiscParameterBufferQualityLevel level = {};
    level.quality_level = stream.quality_level;
    all.push_back(Misc(VAEncMiscParameterTypeQualityLevel, level));
  }
  return all;
}

}  // namespace kine
