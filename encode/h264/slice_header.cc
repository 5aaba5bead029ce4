#include "absl/strings/str_cat.h"
#include "daemon/base/check.h"
#include "daemon/base/status.h"
#include "encode/h264/bits.h"
#include "encode/h264/picture_headers.h"

namespace kine::h264 {
namespace {

void WriteFrameNumbers(const SliceHeader& slice, const Sps& sps, const Pps& pps,
                       BitWriter& w) {
  w.Bits(slice.frame_num, sps.log2_max_frame_num);
  if (!sps.frame_mbs_only) w.Flag(false);  // A frame.
  if (slice.idr) w.Ue(slice.idr_pic_id);
  if (sps.poc_type == 0) {
    w.Bits(slice.poc_lsb, sps.log2_max_poc_lsb);
    if (pps.bottom_field_pic_order_present) w.Se(0);
  }
  if (pps.redundant_pic_cnt_present) w.Ue(0);
}

absl::Status Refused(absl::string_view what) {
  return absl::UnimplementedError(absl::StrCat("slice: ", what));
}

absl::Status ReadFrameNumbers(BitReader& r, const Sps& sps, const Pps& pps,
                              SliceHeader& slice) {
  if (sps.separate_colour_plane) return Refused("separate colour planes");
  slice.frame_num = r.Bits(sps.log2_max_frame_num);
  if (!sps.frame_mbs_only && r.Flag()) return Refused("a field");
  if (slice.idr) slice.idr_pic_id = r.UeUpTo(65535);
  const bool frame_pair = pps.bottom_field_pic_order_present;
  if (sps.poc_type == 0) {
    slice.poc_lsb = r.Bits(sps.log2_max_poc_lsb);
    if (frame_pair) r.Se();
  }
  if (sps.poc_type == 1 && !sps.delta_pic_order_always_zero) {
    r.Se();
    if (frame_pair) r.Se();
  }
  if (pps.redundant_pic_cnt_present && r.UeUpTo(127) != 0)
    return Refused("a redundant picture");
  return absl::OkStatus();
}

// ref_pic_list_modification(): how many operations.
int ReadListModification(BitReader& r) {
  if (!r.Flag()) return 0;
  int count = 0;
  constexpr uint32_t kEnd = 3;
  while (r.ok() && r.UeUpTo(kEnd) != kEnd) {
    r.Ue();
    ++count;
  }
  return count;
}

// The adaptive half of dec_ref_pic_marking(): how many operations.
int ReadMemoryOperations(BitReader& r) {
  if (!r.Flag()) return 0;
  int count = 0;
  while (r.ok()) {
    const uint32_t operation = r.UeUpTo(6);
    if (operation == 0) break;
    if (operation != 5) r.Ue();
    if (operation == 3) r.Ue();
    ++count;
  }
  return count;
}

void ReadDeblocking(BitReader& r, SliceHeader& slice) {
  slice.disable_deblocking = r.UeUpTo(2);
  if (slice.disable_deblocking == 1) return;
  slice.alpha_c0_offset_div2 = r.SeWithin(-6, 6);
  slice.beta_offset_div2 = r.SeWithin(-6, 6);
}

absl::Status ReadType(BitReader& r, SliceHeader& slice) {
  const uint32_t type = r.UeUpTo(9);
  slice.whole_picture = type >= 5;
  switch (type % 5) {
    case 0:
      slice.type = SliceHeader::Type::kP;
      return absl::OkStatus();
    case 2:
      slice.type = SliceHeader::Type::kI;
      return absl::OkStatus();
    default:
      return Refused(absl::StrCat("slice_type ", type, ", not P or I"));
  }
}

}  // namespace

RawNal WriteSliceHeader(const SliceHeader& slice, const Sps& sps,
                        const Pps& pps) {
  const bool p = slice.type == SliceHeader::Type::kP;
  KINE_CHECK(sps.poc_type != 1 && !sps.separate_colour_plane &&
             !pps.weighted_pred);
  KINE_CHECK(slice.list_modifications == 0 && slice.memory_operations == 0);
  KINE_CHECK(slice.frame_num <= sps.frame_num_mask());
  KINE_CHECK(slice.nal_ref_idc <= 3 && slice.num_ref_idx_l0 > 0);
  KINE_CHECK(!slice.idr || (!p && slice.nal_ref_idc > 0));
  BitWriter w;
  const NalType nal = slice.idr ? NalType::kIdrSlice : NalType::kSlice;
  w.Bits(static_cast<uint64_t>(slice.nal_ref_idc << 5 | static_cast<int>(nal)),
         8);
  w.Ue(slice.first_mb);
  w.Ue(static_cast<uint32_t>(slice.type) + (slice.whole_picture ? 5 : 0));
  w.Ue(pps.id);
  WriteFrameNumbers(slice, sps, pps, w);
  if (p) {
    const bool override = slice.override_num_ref_idx ||
                          slice.num_ref_idx_l0 != pps.num_ref_idx_l0;
    w.Flag(override);
    if (override) w.Ue(slice.num_ref_idx_l0 - 1);
    w.Flag(false);  // The list as it is.
  }
  if (slice.idr) {
    w.Flag(slice.no_output_of_prior_pics);
    w.Flag(slice.long_term_reference);
  } else if (slice.nal_ref_idc != 0) {
    w.Flag(false);  // Sliding window.
  }
  if (pps.cabac && p) w.Ue(slice.cabac_init_idc);
  w.Se(slice.qp - pps.pic_init_qp);
  if (pps.deblocking_control_present) {
    w.Ue(slice.disable_deblocking);
    if (slice.disable_deblocking != 1) {
      w.Se(slice.alpha_c0_offset_div2);
      w.Se(slice.beta_offset_div2);
    }
  }
  return {w.bytes(), w.bit_length()};
}

absl::StatusOr<ReadSlice> ReadSliceHeader(std::span<const std::byte> raw,
                                          const Sps& sps, const Pps& pps) {
  if (TypeOf(raw) != NalType::kSlice && TypeOf(raw) != NalType::kIdrSlice)
    return absl::InvalidArgumentError("slice: not one, by its type");
  ReadSlice read;
  SliceHeader& slice = read.header;
  BitReader r(raw);
  slice.idr = TypeOf(raw) == NalType::kIdrSlice;
  slice.nal_ref_idc = static_cast<uint8_t>(r.Bits(3));
  r.Skip(5);
  slice.first_mb = r.Ue();
  KINE_RETURN_IF_ERROR(ReadType(r, slice));
  const bool p = slice.type == SliceHeader::Type::kP;
  if (const uint32_t id = r.UeUpTo(255); id != pps.id && r.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("slice: of PPS ", id, ", not ", pps.id));
  }
  KINE_RETURN_IF_ERROR(ReadFrameNumbers(r, sps, pps, slice));
  slice.num_ref_idx_l0 = pps.num_ref_idx_l0;
  if (p) {
    slice.override_num_ref_idx = r.Flag();
    if (slice.override_num_ref_idx) slice.num_ref_idx_l0 = 1 + r.UeUpTo(31);
    slice.list_modifications = ReadListModification(r);
    if (pps.weighted_pred) return Refused("weighted prediction");
  }
  if (slice.idr) {
    slice.no_output_of_prior_pics = r.Flag();
    slice.long_term_reference = r.Flag();
  } else if (slice.nal_ref_idc != 0) {
    slice.memory_operations = ReadMemoryOperations(r);
  }
  if (pps.cabac && p) slice.cabac_init_idc = r.UeUpTo(2);
  slice.qp = pps.pic_init_qp + r.SeWithin(-51 - 36, 51 + 36);
  if (pps.deblocking_control_present) ReadDeblocking(r, slice);
  if (!r.ok()) {
    return absl::InvalidArgumentError(
        "slice: the header is cut, or a value out of range");
  }
  read.bit_length = r.position();
  return read;
}

}  // namespace kine::h264
