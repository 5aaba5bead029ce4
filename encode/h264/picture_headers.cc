#include "encode/h264/picture_headers.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "daemon/base/check.h"
#include "encode/h264/bits.h"
#include "encode/h264/scaling_list.h"

namespace kine::h264 {
namespace {

uint8_t HeaderByte(uint8_t ref_idc, NalType type) {
  return static_cast<uint8_t>(ref_idc << 5 | static_cast<int>(type));
}

}  // namespace

RawNal WritePps(const Pps& pps) {
  KINE_CHECK(!pps.has_scaling_matrix && pps.num_ref_idx_l0 > 0 &&
             pps.num_ref_idx_l1 > 0);
  BitWriter w;
  w.Bits(HeaderByte(3, NalType::kPps), 8);
  w.Ue(pps.id);
  w.Ue(pps.sps_id);
  w.Flag(pps.cabac);
  w.Flag(pps.bottom_field_pic_order_present);
  w.Ue(0);  // One slice group.
  w.Ue(pps.num_ref_idx_l0 - 1);
  w.Ue(pps.num_ref_idx_l1 - 1);
  w.Flag(pps.weighted_pred);
  w.Bits(pps.weighted_bipred_idc, 2);
  w.Se(pps.pic_init_qp - 26);
  w.Se(pps.pic_init_qs - 26);
  w.Se(pps.chroma_qp_index_offset);
  w.Flag(pps.deblocking_control_present);
  w.Flag(pps.constrained_intra_pred);
  w.Flag(pps.redundant_pic_cnt_present);
  if (pps.transform_8x8 || pps.second_chroma_qp_index_offset.has_value()) {
    w.Flag(pps.transform_8x8);
    w.Flag(false);  // No scaling matrix.
    w.Se(
        pps.second_chroma_qp_index_offset.value_or(pps.chroma_qp_index_offset));
  }
  w.Trailing();
  return {w.bytes(), w.bit_length()};
}

absl::StatusOr<Pps> ReadPps(std::span<const std::byte> raw, const Sps& sps) {
  if (TypeOf(raw) != NalType::kPps)
    return absl::InvalidArgumentError("PPS: not one, by its type");
  Pps pps;
  BitReader r(raw);
  r.Skip(8);
  pps.id = r.UeUpTo(255);
  pps.sps_id = r.UeUpTo(31);
  pps.cabac = r.Flag();
  pps.bottom_field_pic_order_present = r.Flag();
  if (r.UeUpTo(7) != 0) return absl::UnimplementedError("PPS: slice groups");
  pps.num_ref_idx_l0 = 1 + r.UeUpTo(31);
  pps.num_ref_idx_l1 = 1 + r.UeUpTo(31);
  pps.weighted_pred = r.Flag();
  pps.weighted_bipred_idc = static_cast<uint8_t>(r.Bits(2));
  const int lowest_qp = -26 - 6 * (sps.bit_depth_luma - 8);
  pps.pic_init_qp = 26 + r.SeWithin(lowest_qp, 25);
  pps.pic_init_qs = 26 + r.SeWithin(-26, 25);
  pps.chroma_qp_index_offset = r.SeWithin(-12, 12);
  pps.deblocking_control_present = r.Flag();
  pps.constrained_intra_pred = r.Flag();
  pps.redundant_pic_cnt_present = r.Flag();
  if (r.MoreData()) {
    pps.transform_8x8 = r.Flag();
    pps.has_scaling_matrix = r.Flag();
    if (pps.has_scaling_matrix) {
      const int large = sps.chroma_format_idc == 3 ? 6 : 2;
      SkipScalingMatrix(r, 6 + (pps.transform_8x8 ? large : 0));
    }
    const int second = r.SeWithin(-12, 12);
    if (second != pps.chroma_qp_index_offset)
      pps.second_chroma_qp_index_offset = second;
  }
  if (!r.AtTrailing()) {
    return absl::InvalidArgumentError(
        "PPS: cut, a value out of range, or not at its end");
  }
  return pps;
}

RawNal WriteDelimiter(bool intra_only) {
  BitWriter w;
  w.Bits(HeaderByte(0, NalType::kDelimiter), 8);
  w.Bits(intra_only ? 0 : 1, 3);
  w.Trailing();
  return {w.bytes(), w.bit_length()};
}

SeiMessage UserData(std::span<const std::byte, 16> uuid,
                    absl::string_view text) {
  SeiMessage message;
  message.type = kSeiUserDataUnregistered;
  message.payload.assign(uuid.begin(), uuid.end());
  for (const char c : text)
    message.payload.push_back(static_cast<std::byte>(c));
  return message;
}

SeiMessage RecoveryPoint(uint32_t recovery_frame_cnt, bool exact_match) {
  BitWriter w;
  w.Ue(recovery_frame_cnt);
  w.Flag(exact_match);
  w.Flag(false);  // The link is not broken.
  w.Bits(0, 2);   // No changing slice groups.
  if (w.bit_length() % 8 != 0) w.Trailing();
  return {.type = kSeiRecoveryPoint, .payload = w.bytes()};
}

RawNal WriteSei(std::span<const SeiMessage> messages) {
  BitWriter w;
  w.Bits(HeaderByte(0, NalType::kSei), 8);
  const auto number = [&w](size_t value) {
    for (; value >= 255; value -= 255) w.Bits(255, 8);
    w.Bits(value, 8);
  };
  for (const SeiMessage& message : messages) {
    number(message.type);
    number(message.payload.size());
    for (const std::byte byte : message.payload)
      w.Bits(std::to_integer<uint64_t>(byte), 8);
  }
  w.Trailing();
  return {w.bytes(), w.bit_length()};
}

absl::StatusOr<std::vector<SeiMessage>> ReadSei(
    std::span<const std::byte> raw) {
  if (TypeOf(raw) != NalType::kSei)
    return absl::InvalidArgumentError("SEI: not one, by its type");
  std::vector<SeiMessage> messages;
  BitReader r(raw);
  r.Skip(8);
  const auto number = [&r] {
    uint32_t value = 0;
    uint32_t byte = 255;
    while (byte == 255 && r.ok()) value += byte = r.Bits(8);
    return value;
  };
  while (r.ok() && !r.AtTrailing()) {
    SeiMessage& message = messages.emplace_back();
    message.type = number();
    const uint64_t size = number();
    const uint64_t from = r.position() / 8;
    r.Skip(size * 8);
    if (!r.ok()) break;
    const auto payload = raw.subspan(from, size);
    message.payload.assign(payload.begin(), payload.end());
  }
  if (!r.ok())
    return absl::InvalidArgumentError("SEI: a message is longer than it");
  return messages;
}

}  // namespace kine::h264
