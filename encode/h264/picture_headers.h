// What stands around a picture's slices: the picture parameter set, the slice
// header, SEI messages and the access unit delimiter.
//
// Pure functions; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "encode/h264/nal.h"
#include "encode/h264/sps.h"

namespace kine::h264 {

struct Pps {
  uint32_t id = 0;
  uint32_t sps_id = 0;
  bool cabac = false;
  bool bottom_field_pic_order_present = false;
  uint32_t num_ref_idx_l0 = 1;  // Default active, 1..32.
  uint32_t num_ref_idx_l1 = 1;
  bool weighted_pred = false;
  uint8_t weighted_bipred_idc = 0;
  int pic_init_qp = 26;
  int pic_init_qs = 26;
  int chroma_qp_index_offset = 0;  // -12..12.
  bool deblocking_control_present = true;
  bool constrained_intra_pred = false;
  bool redundant_pic_cnt_present = false;
  // Profile High only.
  bool transform_8x8 = false;
  bool has_scaling_matrix = false;  // Read over; cannot be written.
  // When it is not the first.
  std::optional<int> second_chroma_qp_index_offset;
  friend bool operator==(const Pps&, const Pps&) = default;
};

RawNal WritePps(const Pps& pps);
// UNIMPLEMENTED for slice groups. `sps` says the chroma format.
absl::StatusOr<Pps> ReadPps(std::span<const std::byte> raw, const Sps& sps);

struct SliceHeader {
  bool idr = false;
  uint8_t nal_ref_idc = 1;  // 0..3; not 0 for an IDR picture.
  uint32_t first_mb = 0;
  enum class Type : uint8_t { kP = 0, kI = 2 };
  Type type = Type::kP;
  // slice_type 5 or 7 instead of 0 or 2: all slices of the picture are alike.
  bool whole_picture = true;
  uint32_t frame_num = 0;   // Masked: below 2^log2_max_frame_num.
  uint32_t idr_pic_id = 0;  // 0..65535; differs between neighbouring IDRs.
  uint32_t poc_lsb = 0;     // With POC type 0.
  // P: written as an override when it is not the PPS's, or when asked for.
  uint32_t num_ref_idx_l0 = 1;
  bool override_num_ref_idx = false;
  bool no_output_of_prior_pics = false;
  bool long_term_reference = false;
  uint32_t cabac_init_idc = 0;  // 0..2.
  int qp = 26;
  // With deblocking control in the PPS. 0 on, 1 off, 2 not across slices.
  uint32_t disable_deblocking = 0;
  int alpha_c0_offset_div2 = 0;  // -6..6.
  int beta_offset_div2 = 0;
  // Read over; cannot be written.
  int list_modifications = 0;
  int memory_operations = 0;
  friend bool operator==(const SliceHeader&, const SliceHeader&) = default;
};

// The header alone, ending at its last syntax element: no alignment, no
// trailing bits.
RawNal WriteSliceHeader(const SliceHeader& slice, const Sps& sps,
                        const Pps& pps);

struct ReadSlice {
  SliceHeader header;
  uint64_t bit_length = 0;  // Of the raw NAL's header, its first byte included.
};
// UNIMPLEMENTED for B and switching slices, fields and weighted prediction.
absl::StatusOr<ReadSlice> ReadSliceHeader(std::span<const std::byte> raw,
                                          const Sps& sps, const Pps& pps);

// `primary_pic_type`: 0 for I, 1 for I and P.
RawNal WriteDelimiter(bool intra_only);

inline constexpr uint32_t kSeiUserDataUnregistered = 5;
inline constexpr uint32_t kSeiRecoveryPoint = 6;

struct SeiMessage {
  uint32_t type = 0;
  std::vector<std::byte> payload;
  friend bool operator==(const SeiMessage&, const SeiMessage&) = default;
};

// One text under a UUID (16 bytes).
SeiMessage UserData(std::span<const std::byte, 16> uuid,
                    absl::string_view text);
// Correct pictures again after `recovery_frame_cnt` more.
SeiMessage RecoveryPoint(uint32_t recovery_frame_cnt, bool exact_match);

RawNal WriteSei(std::span<const SeiMessage> messages);
absl::StatusOr<std::vector<SeiMessage>> ReadSei(std::span<const std::byte> raw);

}  // namespace kine::h264
