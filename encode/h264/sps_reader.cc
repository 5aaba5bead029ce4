#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "daemon/base/status.h"
#include "encode/h264/bits.h"
#include "encode/h264/scaling_list.h"
#include "encode/h264/sps_layout.h"

namespace kine::h264 {
namespace {

constexpr uint32_t kSideInMbsMax = 4096;

// The profiles whose SPS tells chroma format, depths and scaling.
bool HasChromaFormat(uint8_t profile) {
  constexpr uint8_t kProfiles[] = {100, 110, 122, 244, 44,  83, 86,
                                   118, 128, 138, 139, 134, 135};
  return std::find(std::begin(kProfiles), std::end(kProfiles), profile) !=
         std::end(kProfiles);
}

void ReadChromaFormat(BitReader& r, Sps& sps) {
  sps.chroma_format_idc = r.UeUpTo(3);
  if (sps.chroma_format_idc == 3) sps.separate_colour_plane = r.Flag();
  sps.bit_depth_luma = 8 + static_cast<int>(r.UeUpTo(6));
  sps.bit_depth_chroma = 8 + static_cast<int>(r.UeUpTo(6));
  r.Flag();  // qpprime_y_zero_transform_bypass_flag
  sps.has_scaling_matrix = r.Flag();
  if (sps.has_scaling_matrix)
    SkipScalingMatrix(r, sps.chroma_format_idc == 3 ? 12 : 8);
}

void ReadPictureOrder(BitReader& r, Sps& sps) {
  sps.poc_type = r.UeUpTo(2);
  if (sps.poc_type == 0) {
    sps.log2_max_poc_lsb = 4 + static_cast<int>(r.UeUpTo(12));
  } else if (sps.poc_type == 1) {
    sps.delta_pic_order_always_zero = r.Flag();
    r.Se();
    r.Se();
    for (uint32_t left = r.UeUpTo(255); left > 0 && r.ok(); --left) r.Se();
  }
}

void ReadFrameSize(BitReader& r, Sps& sps) {
  sps.width_in_mbs = 1 + r.UeUpTo(kSideInMbsMax - 1);
  sps.height_in_map_units = 1 + r.UeUpTo(kSideInMbsMax - 1);
  sps.frame_mbs_only = r.Flag();
  if (!sps.frame_mbs_only) sps.mb_adaptive_frame_field = r.Flag();
  sps.direct_8x8_inference = r.Flag();
}

std::optional<Cropping> ReadCropping(BitReader& r) {
  if (!r.Flag()) return std::nullopt;
  constexpr uint32_t kMax = kSideInMbsMax * 16;
  Cropping cropping;
  cropping.left = r.UeUpTo(kMax);
  cropping.right = r.UeUpTo(kMax);
  cropping.top = r.UeUpTo(kMax);
  cropping.bottom = r.UeUpTo(kMax);
  return cropping;
}

void ReadHrd(BitReader& r) {
  const uint32_t buffers = 1 + r.UeUpTo(31);
  r.Skip(8);  // bit_rate_scale, cpb_size_scale
  for (uint32_t i = 0; i < buffers && r.ok(); ++i) {
    r.Ue();
    r.Ue();
    r.Flag();
  }
  r.Skip(20);  // Four lengths.
}

void ReadAspectAndOverscan(BitReader& r, Vui& vui) {
  if (r.Flag()) {
    AspectRatio& aspect = vui.aspect_ratio.emplace();
    aspect.idc = static_cast<uint8_t>(r.Bits(8));
    if (aspect.idc == 255) {
      aspect.width = static_cast<uint16_t>(r.Bits(16));
      aspect.height = static_cast<uint16_t>(r.Bits(16));
    }
  }
  if (r.Flag()) vui.overscan_appropriate = r.Flag();
}

void ReadSignal(BitReader& r, Vui& vui) {
  if (!r.Flag()) return;
  VideoSignal& signal = vui.signal.emplace();
  signal.format = static_cast<uint8_t>(r.Bits(3));
  signal.full_range = r.Flag();
  if (!r.Flag()) return;
  Color& color = signal.color.emplace();
  color.primaries = static_cast<uint8_t>(r.Bits(8));
  color.transfer = static_cast<uint8_t>(r.Bits(8));
  color.matrix = static_cast<uint8_t>(r.Bits(8));
}

void ReadRestriction(BitReader& r, Vui& vui) {
  if (!r.Flag()) return;
  BitstreamRestriction& restriction = vui.restriction.emplace();
  restriction.motion_vectors_over_pic_boundaries = r.Flag();
  restriction.max_bytes_per_pic_denom = r.UeUpTo(16);
  restriction.max_bits_per_mb_denom = r.UeUpTo(16);
  restriction.log2_max_mv_length_horizontal = r.UeUpTo(16);
  restriction.log2_max_mv_length_vertical = r.UeUpTo(16);
  restriction.max_num_reorder_frames = r.UeUpTo(16);
  restriction.max_dec_frame_buffering = r.UeUpTo(16);
}

void ReadVui(BitReader& r, SpsLayout& layout) {
  Vui& vui = layout.sps.vui.emplace();
  layout.aspect_ratio = r.position();
  ReadAspectAndOverscan(r, vui);
  layout.signal = r.position();
  ReadSignal(r, vui);
  layout.chroma_location = r.position();
  if (r.Flag()) {
    ChromaLocation& location = vui.chroma_location.emplace();
    location.top = static_cast<uint8_t>(r.UeUpTo(5));
    location.bottom = static_cast<uint8_t>(r.UeUpTo(5));
  }
  layout.timing = r.position();
  if (r.Flag()) {
    Timing& timing = vui.timing.emplace();
    timing.num_units_in_tick = r.Bits(32);
    timing.time_scale = r.Bits(32);
    timing.fixed_frame_rate = r.Flag();
  }
  layout.hrd = r.position();
  const bool nal_hrd = r.Flag();
  if (nal_hrd) ReadHrd(r);
  const bool vcl_hrd = r.Flag();
  if (vcl_hrd) ReadHrd(r);
  vui.has_hrd = nal_hrd || vcl_hrd;
  if (vui.has_hrd) r.Flag();  // low_delay_hrd_flag
  vui.pic_struct_present = r.Flag();
  layout.restriction = r.position();
  ReadRestriction(r, vui);
}

absl::Status Refused(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("SPS: ", why));
}

// The cropping leaves a picture.
bool CropsWithin(const Sps& sps) {
  if (!sps.cropping.has_value()) return true;
  const bool half_width =
      sps.chroma_format_idc == 1 || sps.chroma_format_idc == 2;
  const uint64_t unit_x = half_width ? 2 : 1;
  const uint64_t unit_y =
      (sps.chroma_format_idc == 1 ? 2u : 1u) * (sps.frame_mbs_only ? 1u : 2u);
  const uint64_t width = uint64_t{sps.width_in_mbs} * 16;
  const uint64_t height =
      uint64_t{sps.height_in_map_units} * 16 * (sps.frame_mbs_only ? 1u : 2u);
  const Cropping& crop = *sps.cropping;
  return (uint64_t{crop.left} + crop.right) * unit_x < width &&
         (uint64_t{crop.top} + crop.bottom) * unit_y < height;
}

}  // namespace

absl::StatusOr<SpsLayout> ReadSpsLayout(std::span<const std::byte> raw) {
  if (TypeOf(raw) != NalType::kSps) return Refused("not one, by its type");
  SpsLayout layout;
  Sps& sps = layout.sps;
  BitReader r(raw);
  r.Skip(8);
  sps.profile_idc = static_cast<uint8_t>(r.Bits(8));
  sps.constraints = static_cast<uint8_t>(r.Bits(8));
  sps.level_idc = static_cast<uint8_t>(r.Bits(8));
  sps.id = r.UeUpTo(31);
  if (HasChromaFormat(sps.profile_idc)) ReadChromaFormat(r, sps);
  sps.log2_max_frame_num = 4 + static_cast<int>(r.UeUpTo(12));
  ReadPictureOrder(r, sps);
  sps.max_num_ref_frames = r.UeUpTo(16);
  sps.gaps_in_frame_num_allowed = r.Flag();
  ReadFrameSize(r, sps);
  if (!r.ok()) return Refused("cut, or a value out of range, before cropping");
  layout.cropping = r.position();
  sps.cropping = ReadCropping(r);
  layout.vui = r.position();
  if (r.Flag()) {
    ReadVui(r, layout);
    layout.end = r.position();
  } else {
    layout.end = layout.aspect_ratio = layout.signal = layout.chroma_location =
        layout.timing = layout.hrd = layout.restriction = r.position();
  }
  if (!r.ok())
    return Refused("cut, or a value out of range, in cropping or VUI");
  if (!r.AtTrailing())
    return Refused("something other than trailing bits follows");
  if (!CropsWithin(sps)) return Refused("the cropping leaves no picture");
  return layout;
}

absl::StatusOr<Sps> ReadSps(std::span<const std::byte> raw) {
  KINE_ASSIGN_OR_RETURN(const SpsLayout layout, ReadSpsLayout(raw));
  return layout.sps;
}

}  // namespace kine::h264
