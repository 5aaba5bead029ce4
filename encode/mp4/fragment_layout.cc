#include "encode/mp4/fragment_layout.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "daemon/base/check.h"
#include "daemon/base/crc32c.h"
#include "daemon/base/status.h"
#include "encode/mp4/box_reader.h"
#include "encode/mp4/box_writer.h"
#include "encode/mp4/moov.h"
#include "encode/mp4/sample_index.h"

namespace kine::mp4 {
namespace {

constexpr std::string_view kCrcBoxId = "kinescope-crc32c";
static_assert(kCrcBoxId.size() == 16);
constexpr size_t kCrcBytes = 4;
constexpr uint32_t kTfhdDefaultBaseIsMoof = 0x02'0000;
// Data offset; duration, size and flags of each sample.
constexpr uint32_t kTrunFields = 0x00'0701;
constexpr uint32_t kFlagNonSync = 0x0001'0000;

absl::Status Damaged(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("moof: ", what));
}

void WriteTraf(BoxWriter& w, std::span<const Sample> samples, uint64_t until) {
  const size_t traf = w.Begin("traf");
  const size_t tfhd = w.BeginFull("tfhd", 0, kTfhdDefaultBaseIsMoof);
  w.U32(kTrackId);
  w.End(tfhd);
  const size_t tfdt = w.BeginFull("tfdt", 1, 0);
  w.U64(samples.front().time);
  w.End(tfdt);
  const size_t trun = w.BeginFull("trun", 0, kTrunFields);
  w.U32(static_cast<uint32_t>(samples.size()));
  w.U32(static_cast<uint32_t>(MoofBytes(samples.size()) + kMdatHeaderBytes));
  for (size_t i = 0; i < samples.size(); ++i) {
    const uint64_t end = i + 1 < samples.size() ? samples[i + 1].time : until;
    KINE_CHECK(end > samples[i].time);
    // A reader takes the times within a fragment from these durations.
    KINE_CHECK(i + 1 == samples.size() ||
               end - samples[i].time <= kSampleTicksMax);
    w.U32(static_cast<uint32_t>(
        std::min(end - samples[i].time, kSampleTicksMax)));
    w.U32(static_cast<uint32_t>(samples[i].data->size()));
    w.U32((samples[i].keyframe ? kKeyframeFlags : kOtherFlags) |
          samples[i].priority);
  }
  w.End(trun);
  w.End(traf);
}

absl::Status ParseTrun(std::span<const std::byte> payload, size_t moof_bytes,
                       ParsedMoof& parsed) {
  ByteReader reader(payload);
  if (reader.U32() != kTrunFields) return Damaged("trun of another layout");
  const uint32_t count = reader.U32();
  if (reader.U32() != moof_bytes + kMdatHeaderBytes)
    return Damaged("samples are not at the start of the mdat");
  if (count == 0 || reader.left() != uint64_t{count} * 12)
    return Damaged("sample count");
  parsed.samples.resize(count);
  for (ParsedMoof::Entry& sample : parsed.samples) {
    sample.duration = reader.U32();
    sample.size = reader.U32();
    const uint32_t flags = reader.U32();
    sample.keyframe = (flags & kFlagNonSync) == 0;
    sample.priority = static_cast<uint16_t>(flags & 0xffff);
    if (sample.duration == 0) return Damaged("sample of no duration");
    parsed.payload_bytes += sample.size;
  }
  return absl::OkStatus();
}

absl::Status ParseTraf(std::span<const std::byte> payload, size_t moof_bytes,
                       ParsedMoof& parsed) {
  const std::optional<Box> tfhd = FindBox(payload, FourCc("tfhd"));
  const std::optional<Box> tfdt = FindBox(payload, FourCc("tfdt"));
  const std::optional<Box> trun = FindBox(payload, FourCc("trun"));
  if (!tfhd || !tfdt || !trun) return Damaged("no tfhd, tfdt or trun");

  ByteReader header(tfhd->payload);
  if (header.U32() != kTfhdDefaultBaseIsMoof || header.U32() != kTrackId)
    return Damaged("tfhd of another layout");
  ByteReader time(tfdt->payload);
  if (time.U32() != 1u << 24) return Damaged("tfdt of another version");
  parsed.decode_time = time.U64();
  if (!header.ok() || !time.ok()) return Damaged("short tfhd or tfdt");
  return ParseTrun(trun->payload, moof_bytes, parsed);
}

}  // namespace

uint16_t Priority(uint32_t damaged_macroblocks, bool agent_active) {
  constexpr uint32_t kMost = 0x7fff;
  return static_cast<uint16_t>(std::min(damaged_macroblocks, kMost) |
                               (agent_active ? 0x8000u : 0u));
}

std::vector<std::byte> BuildFragment(uint32_t sequence,
                                     std::span<const Sample> samples,
                                     uint64_t until) {
  uint32_t payload_crc = 0;
  uint64_t bytes = MoofBytes(samples.size()) + kMdatHeaderBytes;
  KINE_CHECK(!samples.empty() && bytes <= kMoofBytesMax);
  for (const Sample& sample : samples) {
    payload_crc = Crc32c(payload_crc, *sample.data);
    bytes += sample.data->size();
  }

  std::vector<std::byte> fragment;
  fragment.reserve(static_cast<size_t>(bytes));
  BoxWriter w(fragment);
  const size_t moof = w.Begin("moof");
  const size_t mfhd = w.BeginFull("mfhd", 0, 0);
  w.U32(sequence);
  w.End(mfhd);
  WriteTraf(w, samples, until);
  const size_t skip = w.Begin("skip");
  w.Text(kCrcBoxId);
  w.U32(payload_crc);
  w.U32(0);
  w.End(skip);
  w.End(moof);
  KINE_CHECK(fragment.size() == MoofBytes(samples.size()));
  const size_t own_crc = fragment.size() - kCrcBytes;
  w.PatchU32(own_crc, Crc32c(0, std::span(fragment).first(own_crc)));

  const size_t mdat = w.Begin("mdat");
  for (const Sample& sample : samples) w.Bytes(*sample.data);
  w.End(mdat);
  return fragment;
}

bool RetimeMoof(std::span<std::byte> moof, uint64_t decode_time,
                uint64_t last_duration) {
  // moof 8, mfhd 16, traf 8, tfhd 16, then tfdt's 12; behind its 8, trun's 20.
  constexpr size_t kDecodeTimeAt = 60;
  constexpr size_t kSamplesAt = 88;
  constexpr size_t kSampleBytes = 12;
  if (moof.size() < MoofBytes(1) ||
      (moof.size() - MoofBytes(0)) % kSampleBytes != 0 ||
      last_duration > kSampleTicksMax)
    return false;
  const size_t samples = (moof.size() - MoofBytes(0)) / kSampleBytes;
  const auto patch = [&moof](size_t at, size_t bytes, uint64_t value) {
    for (size_t i = 0; i < bytes; ++i)
      moof[at + i] = static_cast<std::byte>(value >> (8 * (bytes - 1 - i)));
  };
  patch(kDecodeTimeAt, 8, decode_time);
  patch(kSamplesAt + kSampleBytes * (samples - 1), 4, last_duration);
  const size_t own_crc = moof.size() - kCrcBytes;
  patch(own_crc, 4, Crc32c(0, moof.first(own_crc)));
  return true;
}

absl::StatusOr<ParsedMoof> ParseMoof(std::span<const std::byte> moof) {
  BoxCursor outer(moof);
  const std::optional<Box> box = outer.Next();
  if (!box || box->type != FourCc("moof") || !outer.at_end())
    return Damaged("not one whole box");
  const std::optional<Box> traf = FindBox(box->payload, FourCc("traf"));
  if (!traf) return Damaged("no traf");

  ParsedMoof parsed;
  KINE_RETURN_IF_ERROR(ParseTraf(traf->payload, moof.size(), parsed));

  BoxCursor cursor(box->payload);
  Box last;
  while (const std::optional<Box> child = cursor.Next()) last = *child;
  if (!cursor.at_end() || last.type != FourCc("skip") ||
      last.payload.size() != kCrcBoxId.size() + 2 * kCrcBytes ||
      !std::ranges::equal(last.payload.first(kCrcBoxId.size()),
                          std::as_bytes(std::span(kCrcBoxId)))) {
    return Damaged("does not end with its CRC box");
  }
  ByteReader crcs(last.payload.subspan(kCrcBoxId.size()));
  parsed.payload_crc = crcs.U32();
  parsed.crc_good =
      crcs.U32() == Crc32c(0, moof.first(moof.size() - kCrcBytes));
  return parsed;
}

}  // namespace kine::mp4
