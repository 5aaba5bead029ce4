// The H.264 headers that a client packs, read strictly.
#pragma once

#include <cstdint>
#include <string>

#include "tests/softva/bits.h"

namespace kine::softva {

struct Sps {
  uint32_t profile = 0;
  uint32_t constraints = 0;
  uint32_t level = 0;
  uint32_t id = 0;
  uint32_t chroma_format = 1;
  int log2_max_frame_num = 4;
  uint32_t poc_type = 0;
  int log2_max_poc_lsb = 4;
  uint32_t max_num_ref_frames = 0;
  bool gaps_allowed = false;
  uint32_t width_in_mbs = 0;
  uint32_t height_in_mbs = 0;
  bool frame_mbs_only = true;
  bool crop = false;
  uint32_t crop_left = 0;
  uint32_t crop_right = 0;
  uint32_t crop_top = 0;
  uint32_t crop_bottom = 0;
  bool vui = false;
  bool full_range = false;
  uint32_t primaries = 2;
  uint32_t transfer = 2;
  uint32_t matrix = 2;
  uint32_t num_units_in_tick = 0;
  uint32_t time_scale = 0;
  bool fixed_frame_rate = false;
  bool restriction = false;
  uint32_t num_reorder_frames = 0;
  uint32_t max_dec_frame_buffering = 0;
};

struct Pps {
  uint32_t id = 0;
  uint32_t sps_id = 0;
  bool cabac = false;
  bool pic_order_present = false;
  uint32_t num_ref_l0 = 1;
  bool weighted_pred = false;
  int32_t init_qp = 26;
  int32_t chroma_qp_offset = 0;
  bool deblocking_control = false;
  bool redundant_pic_cnt = false;
  bool transform_8x8 = false;
};

struct SliceHeader {
  int nal_type = 0;
  uint32_t ref_idc = 0;
  uint32_t first_mb = 0;
  uint32_t type = 0;  // 0 P, 2 I.
  uint32_t frame_num = 0;
  uint32_t idr_pic_id = 0;
  uint32_t poc_lsb = 0;
  uint32_t num_ref_l0 = 1;
  bool reordered = false;
  uint32_t cabac_init_idc = 0;
  int32_t qp = 26;
  uint32_t deblocking_idc = 0;
};

// Each returns what is wrong; "" when nothing is.
std::string ParseSps(const NalUnit& unit, Sps& sps);
std::string ParsePps(const NalUnit& unit, const Sps& sps, Pps& pps);
// `unit` holds the header alone: it must end where the syntax ends, or behind
// cabac_alignment_one_bits, which some clients send.
std::string ParseSliceHeader(const NalUnit& unit, const Sps& sps,
                             const Pps& pps, SliceHeader& header);

}  // namespace kine::softva
