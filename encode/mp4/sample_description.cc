// The sample description (`stsd`) of a recording, from its first keyframe.
#include <limits>

#include "absl/strings/str_cat.h"
#include "daemon/base/status.h"
#include "encode/mp4/box_reader.h"
#include "encode/mp4/box_writer.h"
#include "encode/mp4/init_segment.h"

namespace kine::mp4 {
namespace {

constexpr int kNalSps = 7;
constexpr int kNalPps = 8;
constexpr int kProfileBaseline = 66;
constexpr int kProfileMain = 77;
constexpr int kProfileExtended = 88;
constexpr int kProfileHigh = 100;

struct ParameterSets {
  std::span<const std::byte> sps;
  std::span<const std::byte> pps;
};

absl::StatusOr<ParameterSets> FindParameterSets(
    std::span<const std::byte> access_unit) {
  ParameterSets sets;
  ByteReader reader(access_unit);
  while (reader.left() > 0 && (sets.sps.empty() || sets.pps.empty())) {
    const std::span<const std::byte> nal = reader.Bytes(reader.U32());
    if (!reader.ok() || nal.empty())
      return absl::InvalidArgumentError("keyframe: broken AVCC framing");
    const int type = static_cast<int>(nal[0]) & 0x1f;
    if (type == kNalSps && sets.sps.empty()) sets.sps = nal;
    if (type == kNalPps && sets.pps.empty()) sets.pps = nal;
  }
  constexpr size_t kLongest = std::numeric_limits<uint16_t>::max();
  if (sets.sps.size() < 4 || sets.sps.size() > kLongest || sets.pps.empty() ||
      sets.pps.size() > kLongest) {
    return absl::InvalidArgumentError("keyframe: no SPS and PPS in band");
  }
  return sets;
}

// The payload of avcC.
absl::StatusOr<std::vector<std::byte>> BuildAvcConfig(
    std::span<const std::byte> keyframe) {
  KINE_ASSIGN_OR_RETURN(const ParameterSets sets, FindParameterSets(keyframe));
  const int profile = static_cast<int>(sets.sps[1]);
  if (profile != kProfileBaseline && profile != kProfileMain &&
      profile != kProfileExtended && profile != kProfileHigh) {
    return absl::InvalidArgumentError(
        absl::StrCat("keyframe: H.264 profile ", profile,
                     " (only Baseline, Main, Extended and High)"));
  }

  std::vector<std::byte> config;
  BoxWriter writer(config);
  writer.U8(1);                          // Version.
  writer.Bytes(sets.sps.subspan(1, 3));  // Profile, constraints, level.
  writer.U8(0xff);                       // NAL lengths have four bytes.
  // No parameter sets: they are in band. GStreamer 1.22 announces those given
  // here anew whenever its guess of the frame rate changes, in the middle of
  // pictures that need the ones of another size.
  writer.U8(0xe0);
  writer.U8(0);
  if (profile == kProfileHigh) {
    writer.U8(0xfd);  // 4:2:0.
    writer.U8(0xf8);  // 8 bits of luma.
    writer.U8(0xf8);  // 8 bits of chroma.
    writer.U8(0);     // No SPS extension.
  }
  return config;
}

}  // namespace

absl::StatusOr<std::vector<std::byte>> BuildSampleDescription(
    uint16_t width, uint16_t height, std::span<const std::byte> keyframe) {
  KINE_ASSIGN_OR_RETURN(const std::vector<std::byte> avc_config,
                        BuildAvcConfig(keyframe));
  std::vector<std::byte> stsd_box;
  BoxWriter w(stsd_box);
  const size_t stsd = w.BeginFull("stsd", 0, 0);
  w.U32(1);
  // avc3: parameter sets may change in band, so that one entry lasts for the
  // file's life (a second one breaks ffmpeg, GStreamer and Chromium).
  const size_t avc3 = w.Begin("avc3");
  w.Zeros(6);
  w.U16(1);  // Data reference.
  w.Zeros(16);
  w.U16(width);
  w.U16(height);
  w.U32(0x0048'0000);  // 72 dpi.
  w.U32(0x0048'0000);
  w.U32(0);
  w.U16(1);     // Frames a sample.
  w.Zeros(32);  // Compressor's name.
  w.U16(0x18);  // Depth.
  w.U16(0xffff);
  const size_t avcc = w.Begin("avcC");
  w.Bytes(avc_config);
  w.End(avcc);
  const size_t colr = w.Begin("colr");
  w.Text("nclx");
  w.U16(1);  // BT.709 primaries, transfer and matrix,
  w.U16(1);
  w.U16(1);
  w.U8(0);  // limited range.
  w.End(colr);
  const size_t pasp = w.Begin("pasp");
  w.U32(1);
  w.U32(1);
  w.End(pasp);
  w.End(avc3);
  w.End(stsd);
  return stsd_box;
}

}  // namespace kine::mp4
