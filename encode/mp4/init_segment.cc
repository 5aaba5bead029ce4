#include "encode/mp4/init_segment.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/limits.h"
#include "daemon/base/limits/timeline.h"
#include "daemon/base/status.h"
#include "encode/mp4/box_writer.h"
#include "encode/mp4/moov.h"

namespace kine::mp4 {
namespace {

// The commit replaces the reserve's header by one aligned 8-byte write.
constexpr uint64_t kFtypBytes = 32;
static_assert(kFtypBytes % 8 == 0);
// Room for a moov without samples, the large mdat's header and padding.
constexpr uint64_t kReserveSmallest = 1024;
// The reserve is one box with a 32-bit size, and so is the moov in it.
constexpr uint64_t kReserveLargest = 0xffff'fff8;
// What a sample takes at the least, on average: typed text is about 900 bytes a
// frame (research: 114,000 samples in 100 MiB).
constexpr uint64_t kSmallSampleBytes = 512;

bool ValidSide(int side) {
  return side >= limits::kPictureSideMin && side <= limits::kPictureSideMax &&
         side % 2 == 0;
}

}  // namespace

absl::StatusOr<InitSegment> BuildInitSegment(const InitOptions& options) {
  if (!ValidSide(options.width) || !ValidSide(options.height)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "picture of ", options.width, "x", options.height, ": sides are even, ",
        limits::kPictureSideMin, " to ", limits::kPictureSideMax));
  }
  if (options.reserve_bytes < kReserveSmallest ||
      options.reserve_bytes > kReserveLargest ||
      options.reserve_bytes % 8 != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("reserve of ", options.reserve_bytes,
                     " bytes: must be a multiple of 8, ", kReserveSmallest,
                     " to ", kReserveLargest));
  }
  InitSegment init;
  init.header.width = static_cast<uint16_t>(options.width);
  init.header.height = static_cast<uint16_t>(options.height);
  KINE_ASSIGN_OR_RETURN(
      init.header.stsd,
      BuildSampleDescription(init.header.width, init.header.height,
                             options.keyframe));
  init.moov =
      BuildInitMoov(init.header.width, init.header.height, init.header.stsd);

  BoxWriter w(init.head);
  const size_t ftyp = w.Begin("ftyp");
  w.Text("isom");
  w.U32(512);  // Minor version.
  for (const char* brand : {"isom", "iso6", "avc1", "mp41"}) w.Text(brand);
  w.End(ftyp);
  init.header.reserve_offset = w.position();
  init.header.reserve_bytes = options.reserve_bytes;
  init.header.moov_bytes = init.moov.size();
  w.U32(static_cast<uint32_t>(options.reserve_bytes));
  w.Text("free");
  return init;
}

uint64_t ReserveBytes(int64_t max_duration_ms, double fps_max,
                      uint64_t max_bytes) {
  const double seconds = static_cast<double>(max_duration_ms) / 1000;
  const auto by_time = static_cast<uint64_t>(std::max(seconds * fps_max, 0.0));
  const uint64_t samples = std::min(by_time, max_bytes / kSmallSampleBytes);
  const uint64_t fragments = std::min(
      samples, static_cast<uint64_t>(max_duration_ms / limits::kFragmentMs));
  const uint64_t keyframes = std::min(
      samples, static_cast<uint64_t>(max_duration_ms / limits::kKeyframeMs));
  const uint64_t bytes = kReserveSmallest + limits::kReserveChapterBytes +
                         samples * limits::kIndexBytesPerSample +
                         fragments * limits::kIndexBytesPerFragment +
                         keyframes * limits::kIndexBytesPerKeyframe;
  const uint64_t largest = std::min(max_bytes * 3 / 100, kReserveLargest);
  return std::max(limits::kReserveMinBytes, std::min(bytes, largest)) / 8 * 8;
}

}  // namespace kine::mp4
