#include "encode/h264/sps.h"

#include "absl/strings/str_cat.h"
#include "daemon/base/check.h"
#include "daemon/base/status.h"
#include "encode/h264/bits.h"
#include "encode/h264/sps_layout.h"

namespace kine::h264 {
namespace {

constexpr int kSpsHeader = 3 << 5 | static_cast<int>(NalType::kSps);

void WriteVui(const Vui& vui, BitWriter& w) {
  KINE_CHECK(!vui.has_hrd);
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
  w.Flag(false);  // NAL HRD.
  w.Flag(false);  // VCL HRD.
  w.Flag(vui.pic_struct_present);
  WriteRestriction(vui.restriction, w);
}

// What `restriction` becomes. Without one, a decoder assumes the most.
BitstreamRestriction WithoutReordering(const Sps& sps) {
  BitstreamRestriction restriction;
  if (sps.vui.has_value() && sps.vui->restriction.has_value())
    restriction = *sps.vui->restriction;
  restriction.max_num_reorder_frames = 0;
  restriction.max_dec_frame_buffering = sps.max_num_ref_frames;
  return restriction;
}

absl::StatusOr<Cropping> CroppingFor(const Sps& sps, int width, int height) {
  const auto coded_width = static_cast<int>(sps.width_in_mbs) * 16;
  const auto coded_height = static_cast<int>(sps.height_in_map_units) * 16;
  if (sps.chroma_format_idc != 1 || !sps.frame_mbs_only) {
    return absl::InvalidArgumentError(
        "SPS: cannot crop what is not 4:2:0 in frames");
  }
  if (width <= 0 || height <= 0 || width % 2 != 0 || height % 2 != 0 ||
      width > coded_width || height > coded_height) {
    return absl::InvalidArgumentError(
        absl::StrCat("SPS: ", width, "x", height, " visible in ", coded_width,
                     "x", coded_height, " coded"));
  }
  return Cropping{.right = static_cast<uint32_t>((coded_width - width) / 2),
                  .bottom = static_cast<uint32_t>((coded_height - height) / 2)};
}

void WriteChangedVui(std::span<const std::byte> raw, const SpsLayout& layout,
                     const SpsChanges& changes, BitWriter& w) {
  const Sps& sps = layout.sps;
  const bool had_vui = sps.vui.has_value();
  const Vui vui = sps.vui.value_or(Vui{});
  // Without a VUI there is nothing to copy but flags that say no.
  const auto copy = [&](uint64_t from, uint64_t to, int flags) {
    if (had_vui) {
      w.Copy(raw, from, to);
    } else {
      w.Bits(0, flags);
    }
  };
  copy(layout.aspect_ratio, layout.signal, 2);
  if (changes.signal.has_value()) {
    WriteSignal(changes.signal, w);
  } else {
    copy(layout.signal, layout.chroma_location, 1);
  }
  if (changes.chroma_location.has_value()) {
    WriteChromaLocation(changes.chroma_location, w);
  } else {
    copy(layout.chroma_location, layout.timing, 1);
  }
  if (changes.no_fixed_frame_rate && vui.timing.has_value()) {
    Timing timing = *vui.timing;
    timing.fixed_frame_rate = false;
    WriteTiming(timing, w);
  } else {
    copy(layout.timing, layout.hrd, 1);
  }
  copy(layout.hrd, layout.restriction, 3);
  if (changes.no_reordering) {
    WriteRestriction(WithoutReordering(sps), w);
  } else {
    copy(layout.restriction, layout.end, 1);
  }
}

}  // namespace

void WriteCropping(const std::optional<Cropping>& cropping, BitWriter& w) {
  w.Flag(cropping.has_value());
  if (!cropping.has_value()) return;
  w.Ue(cropping->left);
  w.Ue(cropping->right);
  w.Ue(cropping->top);
  w.Ue(cropping->bottom);
}

void WriteSignal(const std::optional<VideoSignal>& signal, BitWriter& w) {
  w.Flag(signal.has_value());
  if (!signal.has_value()) return;
  w.Bits(signal->format, 3);
  w.Flag(signal->full_range);
  w.Flag(signal->color.has_value());
  if (!signal->color.has_value()) return;
  w.Bits(signal->color->primaries, 8);
  w.Bits(signal->color->transfer, 8);
  w.Bits(signal->color->matrix, 8);
}

void WriteChromaLocation(const std::optional<ChromaLocation>& location,
                         BitWriter& w) {
  w.Flag(location.has_value());
  if (!location.has_value()) return;
  w.Ue(location->top);
  w.Ue(location->bottom);
}

void WriteTiming(const std::optional<Timing>& timing, BitWriter& w) {
  w.Flag(timing.has_value());
  if (!timing.has_value()) return;
  w.Bits(timing->num_units_in_tick, 32);
  w.Bits(timing->time_scale, 32);
  w.Flag(timing->fixed_frame_rate);
}

void WriteRestriction(const std::optional<BitstreamRestriction>& restriction,
                      BitWriter& w) {
  w.Flag(restriction.has_value());
  if (!restriction.has_value()) return;
  w.Flag(restriction->motion_vectors_over_pic_boundaries);
  w.Ue(restriction->max_bytes_per_pic_denom);
  w.Ue(restriction->max_bits_per_mb_denom);
  w.Ue(restriction->log2_max_mv_length_horizontal);
  w.Ue(restriction->log2_max_mv_length_vertical);
  w.Ue(restriction->max_num_reorder_frames);
  w.Ue(restriction->max_dec_frame_buffering);
}

RawNal WriteSps(const Sps& sps) {
  KINE_CHECK(sps.poc_type != 1 && !sps.has_scaling_matrix);
  KINE_CHECK(sps.chroma_format_idc == 1 && !sps.separate_colour_plane &&
             sps.bit_depth_luma == 8 && sps.bit_depth_chroma == 8);
  KINE_CHECK(sps.profile_idc == kProfileBaseline ||
             sps.profile_idc == kProfileMain ||
             sps.profile_idc == kProfileHigh);
  KINE_CHECK(sps.log2_max_frame_num >= 4 && sps.log2_max_frame_num <= 16 &&
             sps.log2_max_poc_lsb >= 4 && sps.log2_max_poc_lsb <= 16);
  KINE_CHECK(sps.width_in_mbs > 0 && sps.height_in_map_units > 0);
  BitWriter w;
  w.Bits(kSpsHeader, 8);
  w.Bits(sps.profile_idc, 8);
  w.Bits(sps.constraints, 8);
  w.Bits(sps.level_idc, 8);
  w.Ue(sps.id);
  if (sps.profile_idc == kProfileHigh) {
    w.Ue(1);        // 4:2:0.
    w.Ue(0);        // 8 bits of luma,
    w.Ue(0);        // and of chroma.
    w.Flag(false);  // No lossless bypass.
    w.Flag(false);  // No scaling matrix.
  }
  w.Ue(static_cast<uint32_t>(sps.log2_max_frame_num - 4));
  w.Ue(sps.poc_type);
  if (sps.poc_type == 0) w.Ue(static_cast<uint32_t>(sps.log2_max_poc_lsb - 4));
  w.Ue(sps.max_num_ref_frames);
  w.Flag(sps.gaps_in_frame_num_allowed);
  w.Ue(sps.width_in_mbs - 1);
  w.Ue(sps.height_in_map_units - 1);
  w.Flag(sps.frame_mbs_only);
  if (!sps.frame_mbs_only) w.Flag(sps.mb_adaptive_frame_field);
  w.Flag(sps.direct_8x8_inference);
  WriteCropping(sps.cropping, w);
  w.Flag(sps.vui.has_value());
  if (sps.vui.has_value()) WriteVui(*sps.vui, w);
  w.Trailing();
  return {w.bytes(), w.bit_length()};
}

absl::StatusOr<std::vector<std::byte>> RewriteSps(NalView escaped,
                                                  const SpsChanges& changes) {
  const std::vector<std::byte> raw = Unescape(escaped);
  KINE_ASSIGN_OR_RETURN(const SpsLayout layout, ReadSpsLayout(raw));
  const Sps& sps = layout.sps;
  BitWriter w;
  w.Copy(raw, 0, layout.cropping);
  if (changes.visible.has_value()) {
    KINE_ASSIGN_OR_RETURN(
        const Cropping cropping,
        CroppingFor(sps, changes.visible->width, changes.visible->height));
    WriteCropping(cropping == Cropping{} ? std::nullopt
                                         : std::optional<Cropping>(cropping),
                  w);
  } else {
    w.Copy(raw, layout.cropping, layout.vui);
  }
  const bool has_vui = sps.vui.has_value() || changes.signal.has_value() ||
                       changes.chroma_location.has_value() ||
                       changes.no_reordering;
  w.Flag(has_vui);
  if (has_vui) WriteChangedVui(raw, layout, changes, w);
  w.Trailing();
  return Escape(w.bytes());
}

}  // namespace kine::h264
