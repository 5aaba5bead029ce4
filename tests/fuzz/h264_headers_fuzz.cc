// Any bytes as an Annex B stream: the readers of its NAL units never read
// outside; what they take can be rewritten, says what was asked for then, and
// keeps the rest; and both framings hold the same units.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "daemon/base/check.h"
#include "encode/h264/nal.h"
#include "encode/h264/picture_headers.h"
#include "encode/h264/sps.h"

namespace kine::h264 {
namespace {

void CheckRewrite(NalView escaped, const Sps& sps) {
  // Emulation prevention and trailing zeros may have been odd; then no more.
  const auto same = RewriteSps(escaped, {});
  KINE_CHECK(same.ok());
  const auto read = ReadSps(Unescape(*same));
  KINE_CHECK(read.ok() && *read == sps);
  KINE_CHECK(*RewriteSps(*same, {}) == *same);

  SpsChanges changes;
  changes.signal = VideoSignal{.color = Color{}};
  changes.no_reordering = true;
  changes.no_fixed_frame_rate = true;
  const auto changed = RewriteSps(escaped, changes);
  KINE_CHECK(changed.ok());
  const auto now = ReadSps(Unescape(*changed));
  KINE_CHECK(now.ok());
  Sps wanted = sps;
  Vui vui = wanted.vui.value_or(Vui{});
  vui.signal = changes.signal;
  if (vui.timing.has_value()) vui.timing->fixed_frame_rate = false;
  if (!vui.restriction.has_value()) vui.restriction.emplace();
  vui.restriction->max_num_reorder_frames = 0;
  vui.restriction->max_dec_frame_buffering = sps.max_num_ref_frames;
  wanted.vui = vui;
  KINE_CHECK(*now == wanted);
}

void CheckStream(std::span<const std::byte> stream) {
  Sps sps;
  Pps pps;
  std::vector<std::byte> avcc;
  const std::vector<NalView> nals = SplitAnnexB(stream);
  for (const NalView nal : nals) {
    AppendAvcc(nal, avcc);
    // A copy of just that size: ASan sees one read too many.
    const std::vector<std::byte> raw = Unescape(nal);
    if (const auto read = ReadSps(raw); read.ok()) {
      sps = *read;
      CheckRewrite(nal, sps);
    }
    if (const auto read = ReadPps(raw, sps); read.ok()) pps = *read;
    if (const auto read = ReadSei(raw); read.ok()) {
      const auto again = ReadSei(WriteSei(*read).bytes);
      KINE_CHECK(again.ok() && *again == *read);
    }
    if (const auto read = ReadSliceHeader(raw, sps, pps); read.ok())
      KINE_CHECK(read->bit_length <= uint64_t{raw.size()} * 8);
  }
  const auto framed = SplitAvcc(avcc);
  KINE_CHECK(framed.ok() && framed->size() == nals.size());
  (void)SplitAvcc(stream);
}

}  // namespace
}  // namespace kine::h264

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  kine::h264::CheckStream(std::as_bytes(std::span(data, size)));
  return 0;
}
