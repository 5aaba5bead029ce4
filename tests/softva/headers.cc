#include "tests/softva/headers.h"

#include <algorithm>
#include <array>

namespace kine::softva {
namespace {

bool SkipHrd(BitReader& reader) {
  uint32_t count = reader.Ue() + 1;
  reader.Get(8);
  if (count > 32) return false;
  while (count-- > 0) {
    reader.Ue();
    reader.Ue();
    reader.Bit();
  }
  reader.Get(20);
  return true;
}

void SkipScalingList(BitReader& reader, int size) {
  int last = 8;
  int next = 8;
  for (int i = 0; i < size && !reader.bad(); ++i) {
    if (next != 0) next = (last + reader.Se() + 256) % 256;
    if (next != 0) last = next;
  }
}

void SkipScalingMatrix(BitReader& reader, int lists) {
  if (reader.Bit() == 0) return;
  for (int i = 0; i < lists; ++i)
    if (reader.Bit() != 0) SkipScalingList(reader, i < 6 ? 16 : 64);
}

std::string ParseVui(BitReader& reader, Sps& sps) {
  if (reader.Bit() != 0 && reader.Get(8) == 255) reader.Get(32);
  if (reader.Bit() != 0) reader.Bit();
  if (reader.Bit() != 0) {
    reader.Get(3);
    sps.full_range = reader.Bit() != 0;
    if (reader.Bit() != 0) {
      sps.primaries = reader.Get(8);
      sps.transfer = reader.Get(8);
      sps.matrix = reader.Get(8);
    }
  }
  if (reader.Bit() != 0) {
    reader.Ue();
    reader.Ue();
  }
  if (reader.Bit() != 0) {
    sps.num_units_in_tick = reader.Get(32);
    sps.time_scale = reader.Get(32);
    sps.fixed_frame_rate = reader.Bit() != 0;
  }
  const bool nal_hrd = reader.Bit() != 0;
  if (nal_hrd && !SkipHrd(reader)) return "the SPS's NAL HRD has no sense";
  const bool vcl_hrd = reader.Bit() != 0;
  if (vcl_hrd && !SkipHrd(reader)) return "the SPS's VCL HRD has no sense";
  if (nal_hrd || vcl_hrd) reader.Bit();
  reader.Bit();
  sps.restriction = reader.Bit() != 0;
  if (sps.restriction) {
    reader.Bit();
    for (int i = 0; i < 4; ++i) reader.Ue();
    sps.num_reorder_frames = reader.Ue();
    sps.max_dec_frame_buffering = reader.Ue();
  }
  return "";
}

// The bit after a parameter set's syntax is 1, and only zeros follow.
bool EndsThere(BitReader& reader, const NalUnit& unit) {
  if (reader.Bit() != 1 || reader.bad()) return false;
  while (reader.position() < unit.bits)
    if (reader.Bit() != 0) return false;
  return true;
}

}  // namespace

std::string ParseSps(const NalUnit& unit, Sps& sps) {
  BitReader reader(unit.bytes.data(), unit.bits);
  if ((reader.Get(8) & 31) != 7) return "no SPS";
  sps = Sps();
  sps.profile = reader.Get(8);
  sps.constraints = reader.Get(8);
  sps.level = reader.Get(8);
  sps.id = reader.Ue();
  constexpr std::array<uint32_t, 9> kHighProfiles = {100, 110, 122, 244, 44,
                                                     83,  86,  118, 128};
  if (std::count(kHighProfiles.begin(), kHighProfiles.end(), sps.profile) > 0) {
    sps.chroma_format = reader.Ue();
    if (sps.chroma_format == 3) reader.Bit();
    if (reader.Ue() != 0 || reader.Ue() != 0) return "the SPS is not 8 bits";
    reader.Bit();
    SkipScalingMatrix(reader, sps.chroma_format != 3 ? 8 : 12);
  }
  sps.log2_max_frame_num = static_cast<int>(reader.Ue()) + 4;
  sps.poc_type = reader.Ue();
  if (sps.poc_type == 0) {
    sps.log2_max_poc_lsb = static_cast<int>(reader.Ue()) + 4;
  } else if (sps.poc_type != 2) {
    return "the SPS's pic_order_cnt_type is neither 0 nor 2";
  }
  if (sps.log2_max_frame_num > 16 || sps.log2_max_poc_lsb > 16)
    return "the SPS's log2_max_frame_num or _pic_order_cnt_lsb exceeds 16";
  sps.max_num_ref_frames = reader.Ue();
  sps.gaps_allowed = reader.Bit() != 0;
  sps.width_in_mbs = reader.Ue() + 1;
  sps.height_in_mbs = reader.Ue() + 1;
  sps.frame_mbs_only = reader.Bit() != 0;
  if (!sps.frame_mbs_only) return "the SPS allows fields";
  reader.Bit();
  sps.crop = reader.Bit() != 0;
  if (sps.crop) {
    sps.crop_left = reader.Ue();
    sps.crop_right = reader.Ue();
    sps.crop_top = reader.Ue();
    sps.crop_bottom = reader.Ue();
  }
  sps.vui = reader.Bit() != 0;
  if (sps.vui) {
    if (std::string why = ParseVui(reader, sps); !why.empty()) return why;
  }
  return EndsThere(reader, unit) ? "" : "the SPS does not end with its syntax";
}

std::string ParsePps(const NalUnit& unit, const Sps& sps, Pps& pps) {
  BitReader reader(unit.bytes.data(), unit.bits);
  if ((reader.Get(8) & 31) != 8) return "no PPS";
  pps = Pps();
  pps.id = reader.Ue();
  pps.sps_id = reader.Ue();
  if (pps.sps_id != sps.id) return "the PPS names another SPS";
  pps.cabac = reader.Bit() != 0;
  pps.pic_order_present = reader.Bit() != 0;
  if (reader.Ue() != 0) return "the PPS has slice groups";
  pps.num_ref_l0 = reader.Ue() + 1;
  reader.Ue();
  pps.weighted_pred = reader.Bit() != 0;
  reader.Get(2);
  pps.init_qp = 26 + reader.Se();
  reader.Se();
  pps.chroma_qp_offset = reader.Se();
  pps.deblocking_control = reader.Bit() != 0;
  reader.Bit();
  pps.redundant_pic_cnt = reader.Bit() != 0;
  size_t stop = unit.bits;  // Behind rbsp_stop_one_bit.
  while (stop > 0 &&
         (unit.bytes[(stop - 1) / 8] >> (7 - (stop - 1) % 8) & 1) == 0)
    --stop;
  if (reader.position() + 1 < stop) {
    pps.transform_8x8 = reader.Bit() != 0;
    SkipScalingMatrix(reader, pps.transform_8x8 ? 8 : 6);
    reader.Se();
  }
  return EndsThere(reader, unit) ? "" : "the PPS does not end with its syntax";
}

namespace {

void SkipReordering(BitReader& reader) {
  for (uint32_t op = reader.Ue(); op != 3 && !reader.bad(); op = reader.Ue())
    reader.Ue();
}

void SkipMarking(BitReader& reader) {
  for (uint32_t op = reader.Ue(); op != 0 && !reader.bad(); op = reader.Ue()) {
    if (op != 5) reader.Ue();
    if (op == 3) reader.Ue();
  }
}

std::string CheckEnd(BitReader& reader, const NalUnit& unit, bool cabac) {
  if (reader.bad()) return "is shorter than its syntax";
  const size_t end = reader.position();
  if (cabac && unit.bits % 8 == 0 && unit.bits - end < 8) {
    while (reader.position() < unit.bits)
      if (reader.Bit() == 0)
        return "is followed by bits that are not cabac_alignment_one_bits";
  }
  if (reader.position() == unit.bits) return "";
  return "has " + std::to_string(unit.bits) + " bits, its syntax ends at " +
         std::to_string(end);
}

}  // namespace

std::string ParseSliceHeader(const NalUnit& unit, const Sps& sps,
                             const Pps& pps, SliceHeader& header) {
  BitReader reader(unit.bytes.data(), unit.bits);
  header = SliceHeader();
  if (reader.Bit() != 0) return "has its forbidden_zero_bit set";
  header.ref_idc = reader.Get(2);
  header.nal_type = static_cast<int>(reader.Get(5));
  const bool idr = header.nal_type == 5;
  if (!idr && header.nal_type != 1) return "is of no slice type (1 or 5)";
  header.first_mb = reader.Ue();
  header.type = reader.Ue() % 5;
  if (header.type != 0 && header.type != 2) return "is neither P nor I";
  if (reader.Ue() != pps.id) return "refers to another PPS";
  header.frame_num = reader.Get(sps.log2_max_frame_num);
  if (idr) header.idr_pic_id = reader.Ue();
  if (sps.poc_type == 0) {
    header.poc_lsb = reader.Get(sps.log2_max_poc_lsb);
    if (pps.pic_order_present) reader.Se();
  }
  if (pps.redundant_pic_cnt) reader.Ue();
  header.num_ref_l0 = pps.num_ref_l0;
  if (header.type == 0) {
    if (reader.Bit() != 0) header.num_ref_l0 = reader.Ue() + 1;
    header.reordered = reader.Bit() != 0;
    if (header.reordered) SkipReordering(reader);
    if (pps.weighted_pred) return "has weighted prediction";
  }
  if (header.ref_idc != 0) {
    if (idr) {
      reader.Get(2);
    } else if (reader.Bit() != 0) {
      SkipMarking(reader);
    }
  }
  if (pps.cabac && header.type == 0) header.cabac_init_idc = reader.Ue();
  if (header.cabac_init_idc > 2) return "has a cabac_init_idc above 2";
  header.qp = pps.init_qp + reader.Se();
  if (pps.deblocking_control) {
    header.deblocking_idc = reader.Ue();
    if (header.deblocking_idc != 1) {
      reader.Se();
      reader.Se();
    }
  }
  return CheckEnd(reader, unit, pps.cabac);
}

}  // namespace kine::softva
