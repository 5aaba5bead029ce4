// The sequence parameter set: what we write, what we read of anybody's, and the
// rewrite of a foreign one.
//
// Pure functions; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "encode/h264/nal.h"

namespace kine::h264 {

// ISO/IEC 23091-2 code points; the defaults are BT.709.
struct Color {
  uint8_t primaries = 1;
  uint8_t transfer = 1;
  uint8_t matrix = 1;
  friend bool operator==(const Color&, const Color&) = default;
};

struct VideoSignal {
  uint8_t format = 5;  // Unspecified.
  bool full_range = false;
  std::optional<Color> color;
  friend bool operator==(const VideoSignal&, const VideoSignal&) = default;
};

struct AspectRatio {
  uint8_t idc = 1;  // Square; 255: width : height.
  uint16_t width = 0;
  uint16_t height = 0;
  friend bool operator==(const AspectRatio&, const AspectRatio&) = default;
};

// chroma_sample_loc_type of both fields; 1 is the middle of four.
struct ChromaLocation {
  uint8_t top = 1;
  uint8_t bottom = 1;
  friend bool operator==(const ChromaLocation&,
                         const ChromaLocation&) = default;
};

struct Timing {
  uint32_t num_units_in_tick = 1;
  uint32_t time_scale = 0;  // Twice the pictures a second, per tick.
  bool fixed_frame_rate = false;
  friend bool operator==(const Timing&, const Timing&) = default;
};

struct BitstreamRestriction {
  bool motion_vectors_over_pic_boundaries = true;
  uint32_t max_bytes_per_pic_denom = 0;
  uint32_t max_bits_per_mb_denom = 0;
  uint32_t log2_max_mv_length_horizontal = 15;
  uint32_t log2_max_mv_length_vertical = 15;
  uint32_t max_num_reorder_frames = 0;
  uint32_t max_dec_frame_buffering = 1;
  friend bool operator==(const BitstreamRestriction&,
                         const BitstreamRestriction&) = default;
};

// What is absent is not told.
struct Vui {
  std::optional<AspectRatio> aspect_ratio;
  std::optional<bool> overscan_appropriate;
  std::optional<VideoSignal> signal;
  std::optional<ChromaLocation> chroma_location;
  std::optional<Timing> timing;
  bool has_hrd = false;  // Read over; cannot be written.
  bool pic_struct_present = false;
  std::optional<BitstreamRestriction> restriction;
  friend bool operator==(const Vui&, const Vui&) = default;
};

// In units of 2 luma samples each way (4:2:0, frames).
struct Cropping {
  uint32_t left = 0;
  uint32_t right = 0;
  uint32_t top = 0;
  uint32_t bottom = 0;
  friend bool operator==(const Cropping&, const Cropping&) = default;
};

enum : uint8_t {
  kProfileBaseline = 66,
  kProfileMain = 77,
  kProfileHigh = 100,
};

struct Sps {
  uint8_t profile_idc = kProfileHigh;
  uint8_t constraints = 0;  // The byte: constraint_set0_flag is 0x80.
  uint8_t level_idc = 40;
  uint32_t id = 0;
  // Read, and 4:2:0 with 8 bits where we write.
  uint32_t chroma_format_idc = 1;
  bool separate_colour_plane = false;
  int bit_depth_luma = 8;
  int bit_depth_chroma = 8;
  bool has_scaling_matrix = false;  // Read over; cannot be written.

  int log2_max_frame_num = 8;                // 4..16.
  uint32_t poc_type = 2;                     // 1 can only be read.
  int log2_max_poc_lsb = 4;                  // 4..16, with type 0.
  bool delta_pic_order_always_zero = false;  // Type 1.
  uint32_t max_num_ref_frames = 1;
  bool gaps_in_frame_num_allowed = false;
  uint32_t width_in_mbs = 0;
  uint32_t height_in_map_units = 0;  // Macroblocks, where frame_mbs_only.
  bool frame_mbs_only = true;
  bool mb_adaptive_frame_field = false;
  bool direct_8x8_inference = true;
  std::optional<Cropping> cropping;
  std::optional<Vui> vui;
  friend bool operator==(const Sps&, const Sps&) = default;

  uint32_t frame_num_mask() const { return (1u << log2_max_frame_num) - 1; }
};

// KINE_CHECKs that it can be written (see the members).
RawNal WriteSps(const Sps& sps);

// Of a raw NAL unit. INVALID_ARGUMENT says what is wrong where.
absl::StatusOr<Sps> ReadSps(std::span<const std::byte> raw);

// What a foreign SPS shall say. Everything else stays as it is, bit for bit.
struct SpsChanges {
  std::optional<VideoSignal> signal;
  std::optional<ChromaLocation> chroma_location;
  // Visible pixels, even, at the upper left: the cropping becomes that.
  struct Size {
    int width = 0;
    int height = 0;
  };
  std::optional<Size> visible;
  // max_num_reorder_frames 0 and max_dec_frame_buffering as the references
  // need; other members of a restriction that is there are kept.
  bool no_reordering = false;
  bool no_fixed_frame_rate = false;
};

// `escaped` in, escaped out. INVALID_ARGUMENT for what ReadSps refuses, for a
// visible size that the coded one does not hold, and for cropping of what is
// not 4:2:0 frames.
absl::StatusOr<std::vector<std::byte>> RewriteSps(NalView escaped,
                                                  const SpsChanges& changes);

}  // namespace kine::h264
