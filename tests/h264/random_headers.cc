#include "tests/h264/random_headers.h"

#include <algorithm>

#include "encode/h264/sps_layout.h"

namespace kine::h264 {

uint32_t RandomHeaders::Number(uint32_t max) {
  switch (random_() % 4) {
    case 0:
      return max;
    case 1:
      return std::min(max, static_cast<uint32_t>(random_() % 3));
    default:
      return std::uniform_int_distribution<uint32_t>(0, max)(random_);
  }
}

int RandomHeaders::Between(int min, int max) {
  return min + static_cast<int>(Number(static_cast<uint32_t>(max - min)));
}

Vui RandomHeaders::AnyVui() {
  Vui vui;
  const auto byte = [this] { return static_cast<uint8_t>(Number(255)); };
  if (Coin()) {
    AspectRatio& aspect = vui.aspect_ratio.emplace();
    aspect.idc = byte();
    if (aspect.idc == 255) {
      aspect.width = static_cast<uint16_t>(Number(65535));
      aspect.height = static_cast<uint16_t>(Number(65535));
    }
  }
  if (Coin()) vui.overscan_appropriate = Coin();
  if (Coin()) {
    vui.signal = VideoSignal{.format = static_cast<uint8_t>(Number(7)),
                             .full_range = Coin()};
    if (Coin()) vui.signal->color = Color{byte(), byte(), byte()};
  }
  if (Coin()) {
    vui.chroma_location = ChromaLocation{static_cast<uint8_t>(Number(5)),
                                         static_cast<uint8_t>(Number(5))};
  }
  if (Coin())
    vui.timing = Timing{Number(UINT32_MAX), Number(UINT32_MAX), Coin()};
  vui.pic_struct_present = Coin();
  if (Coin()) {
    vui.restriction =
        BitstreamRestriction{Coin(),     Number(16), Number(16), Number(16),
                             Number(16), Number(16), Number(16)};
  }
  return vui;
}

Sps RandomHeaders::AnySps() {
  constexpr uint8_t kProfiles[] = {kProfileBaseline, kProfileMain,
                                   kProfileHigh};
  Sps sps;
  sps.profile_idc = kProfiles[Number(2)];
  sps.constraints = static_cast<uint8_t>(Number(255));
  sps.level_idc = static_cast<uint8_t>(Number(62));
  sps.id = Number(31);
  sps.log2_max_frame_num = Between(4, 16);
  sps.poc_type = Coin() ? 2 : 0;
  if (sps.poc_type == 0) sps.log2_max_poc_lsb = Between(4, 16);
  sps.max_num_ref_frames = Number(16);
  sps.gaps_in_frame_num_allowed = Coin();
  sps.width_in_mbs = 1 + Number(1023);
  sps.height_in_map_units = 1 + Number(1023);
  sps.frame_mbs_only = Coin();
  if (!sps.frame_mbs_only) sps.mb_adaptive_frame_field = Coin();
  sps.direct_8x8_inference = Coin();
  if (Coin())
    sps.cropping = Cropping{Number(3), Number(3), Number(1), Number(1)};
  if (Coin()) sps.vui = AnyVui();
  return sps;
}

void RandomHeaders::ForeignChroma(Sps& sps, BitWriter& w) {
  sps.chroma_format_idc = Number(3);
  w.Ue(sps.chroma_format_idc);
  if (sps.chroma_format_idc == 3) w.Flag(sps.separate_colour_plane = Coin());
  sps.bit_depth_luma = Between(8, 14);
  sps.bit_depth_chroma = Between(8, 14);
  w.Ue(static_cast<uint32_t>(sps.bit_depth_luma - 8));
  w.Ue(static_cast<uint32_t>(sps.bit_depth_chroma - 8));
  w.Flag(Coin());
  w.Flag(sps.has_scaling_matrix = Coin());
  if (!sps.has_scaling_matrix) return;
  for (int list = 0; list < (sps.chroma_format_idc == 3 ? 12 : 8); ++list) {
    const bool present = Coin();
    w.Flag(present);
    const int size = list < 6 ? 16 : 64;
    int last = 8;
    for (int i = 0; present && i < size; ++i) {
      const int next = Between(0, 255);
      const int delta = (next - last + 256) % 256;
      w.Se(delta > 127 ? delta - 256 : delta);
      if (next == 0) break;
      last = next;
    }
  }
}

void RandomHeaders::Hrd(BitWriter& w) {
  const uint32_t buffers = Number(31);
  w.Ue(buffers);
  w.Bits(Number(255), 8);
  for (uint32_t i = 0; i <= buffers; ++i) {
    w.Ue(Number(UINT32_MAX - 1));
    w.Ue(Number(UINT32_MAX - 1));
    w.Flag(Coin());
  }
  w.Bits(Number((1 << 20) - 1), 20);
}

void RandomHeaders::ForeignVui(Sps& sps, BitWriter& w) {
  Vui& vui = sps.vui.emplace(AnyVui());
  w.Flag(vui.aspect_ratio.has_value());
  if (vui.aspect_ratio.has_value()) {
    w.Bits(vui.aspect_ratio->idc, 8);
    if (vui.aspect_ratio->idc == 255) {
      w.Bits(vui.aspect_ratio->width, 16);
      w.Bits(vui.aspect_ratio->height, 16);
    }
  }
  w.Flag(vui.overscan_appropriate.has_value());
  if (vui.overscan_appropriate.has_value()) w.Flag(*vui.overscan_appropriate);
  WriteSignal(vui.signal, w);
  WriteChromaLocation(vui.chroma_location, w);
  WriteTiming(vui.timing, w);
  const bool nal = Coin();
  w.Flag(nal);
  if (nal) Hrd(w);
  const bool vcl = Coin();
  w.Flag(vcl);
  if (vcl) Hrd(w);
  vui.has_hrd = nal || vcl;
  if (vui.has_hrd) w.Flag(Coin());
  w.Flag(vui.pic_struct_present);
  WriteRestriction(vui.restriction, w);
}

RawNal RandomHeaders::AnyForeignSps(Sps* out) {
  constexpr uint8_t kProfiles[] = {66, 77, 88, 100, 110, 122, 244, 44};
  Sps& sps = *out;
  sps = AnySps();
  sps.profile_idc = kProfiles[Number(std::size(kProfiles) - 1)];
  BitWriter w;
  w.Bits(0x67, 8);
  w.Bits(sps.profile_idc, 8);
  w.Bits(sps.constraints, 8);
  w.Bits(sps.level_idc, 8);
  w.Ue(sps.id);
  if (sps.profile_idc == 44 || sps.profile_idc >= 100) ForeignChroma(sps, w);
  w.Ue(static_cast<uint32_t>(sps.log2_max_frame_num - 4));
  sps.poc_type = Number(2);
  w.Ue(sps.poc_type);
  if (sps.poc_type == 0) {
    w.Ue(static_cast<uint32_t>(sps.log2_max_poc_lsb - 4));
  } else {
    sps.log2_max_poc_lsb = 4;
  }
  if (sps.poc_type == 1) {
    w.Flag(sps.delta_pic_order_always_zero = Coin());
    w.Se(Between(-1000, 1000));
    w.Se(INT32_MAX);
    const uint32_t cycle = Number(255);
    w.Ue(cycle);
    for (uint32_t i = 0; i < cycle; ++i) w.Se(Between(-5, 5));
  }
  w.Ue(sps.max_num_ref_frames);
  w.Flag(sps.gaps_in_frame_num_allowed);
  w.Ue(sps.width_in_mbs - 1);
  w.Ue(sps.height_in_map_units - 1);
  w.Flag(sps.frame_mbs_only);
  if (!sps.frame_mbs_only) w.Flag(sps.mb_adaptive_frame_field);
  w.Flag(sps.direct_8x8_inference);
  WriteCropping(sps.cropping, w);
  w.Flag(sps.vui.has_value());
  if (sps.vui.has_value()) ForeignVui(sps, w);
  w.Trailing();
  return {w.bytes(), w.bit_length()};
}

Pps RandomHeaders::AnyPps() {
  Pps pps;
  pps.id = Number(255);
  pps.sps_id = Number(31);
  pps.cabac = Coin();
  pps.bottom_field_pic_order_present = Coin();
  pps.num_ref_idx_l0 = 1 + Number(31);
  pps.num_ref_idx_l1 = 1 + Number(31);
  pps.weighted_bipred_idc = static_cast<uint8_t>(Number(2));
  pps.pic_init_qp = Between(0, 51);
  pps.pic_init_qs = Between(0, 51);
  pps.chroma_qp_index_offset = Between(-12, 12);
  pps.deblocking_control_present = Coin();
  pps.constrained_intra_pred = Coin();
  pps.redundant_pic_cnt_present = Coin();
  pps.transform_8x8 = Coin();
  if (Coin()) pps.second_chroma_qp_index_offset = Between(-12, 12);
  if (pps.second_chroma_qp_index_offset == pps.chroma_qp_index_offset)
    pps.second_chroma_qp_index_offset.reset();
  return pps;
}

SliceHeader RandomHeaders::AnySlice(const Sps& sps, const Pps& pps) {
  SliceHeader slice;
  slice.idr = Coin();
  slice.nal_ref_idc = static_cast<uint8_t>(Between(slice.idr ? 1 : 0, 3));
  slice.first_mb = Number(139263);
  const bool p = !slice.idr && Coin();
  slice.type = p ? SliceHeader::Type::kP : SliceHeader::Type::kI;
  slice.whole_picture = Coin();
  slice.frame_num = Number(sps.frame_num_mask());
  if (slice.idr) slice.idr_pic_id = Number(65535);
  if (sps.poc_type == 0)
    slice.poc_lsb = Number((1u << sps.log2_max_poc_lsb) - 1);
  slice.num_ref_idx_l0 = pps.num_ref_idx_l0;
  if (p && Coin()) {
    slice.override_num_ref_idx = true;
    slice.num_ref_idx_l0 = 1 + Number(31);
  }
  if (slice.idr) {
    slice.no_output_of_prior_pics = Coin();
    slice.long_term_reference = Coin();
  }
  if (p && pps.cabac) slice.cabac_init_idc = Number(2);
  slice.qp = Between(0, 51);
  if (pps.deblocking_control_present) {
    slice.disable_deblocking = Number(2);
    if (slice.disable_deblocking != 1) {
      slice.alpha_c0_offset_div2 = Between(-6, 6);
      slice.beta_offset_div2 = Between(-6, 6);
    }
  }
  return slice;
}

}  // namespace kine::h264
