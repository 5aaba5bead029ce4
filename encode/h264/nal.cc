#include "encode/h264/nal.h"

#include <limits>

#include "absl/strings/str_cat.h"
#include "daemon/base/check.h"

namespace kine::h264 {
namespace {

constexpr std::byte kPrevention{3};
constexpr std::byte kStartCode[] = {std::byte{0}, std::byte{0}, std::byte{0},
                                    std::byte{1}};
constexpr size_t kLengthBytes = 4;

// Escapes [0, whole) of `raw`; `zeros` is how many zeros the result ends with.
std::vector<std::byte> EscapeSome(std::span<const std::byte> raw, int& zeros) {
  std::vector<std::byte> out;
  out.reserve(raw.size() + raw.size() / 64 + 4);
  zeros = 0;
  for (const std::byte byte : raw) {
    if (zeros >= 2 && byte <= kPrevention) {
      out.push_back(kPrevention);
      zeros = 0;
    }
    out.push_back(byte);
    zeros = byte == std::byte{0} ? zeros + 1 : 0;
  }
  return out;
}

}  // namespace

NalType TypeOf(NalView nal) {
  if (nal.empty()) return NalType{0};
  return static_cast<NalType>(nal.front() & std::byte{0x1f});
}

std::vector<std::byte> Escape(std::span<const std::byte> raw) {
  int zeros = 0;
  return EscapeSome(raw, zeros);
}

std::vector<std::byte> Unescape(NalView escaped) {
  std::vector<std::byte> out;
  out.reserve(escaped.size());
  int zeros = 0;
  for (const std::byte byte : escaped) {
    if (zeros >= 2 && byte == kPrevention) {
      zeros = 0;
      continue;
    }
    out.push_back(byte);
    zeros = byte == std::byte{0} ? zeros + 1 : 0;
  }
  return out;
}

PackedNal Pack(const RawNal& nal, Emulation emulation) {
  KINE_CHECK(nal.bytes.size() == (nal.bit_length + 7) / 8);
  KINE_CHECK(nal.bit_length < std::numeric_limits<uint32_t>::max() / 2);
  PackedNal packed;
  packed.bytes.assign(std::begin(kStartCode), std::end(kStartCode));
  const std::span<const std::byte> raw(nal.bytes);
  if (emulation == Emulation::kInTheBytes) {
    const size_t open = nal.bit_length % 8 == 0 ? 0 : 1;
    int zeros = 0;
    std::vector<std::byte> whole =
        EscapeSome(raw.first(raw.size() - open), zeros);
    if (open == 0 || zeros < 2) {
      whole.insert(whole.end(), raw.end() - static_cast<int>(open), raw.end());
      packed.has_emulation_bytes = true;
      packed.bit_length = static_cast<uint32_t>(
          nal.bit_length +
          8 * (sizeof(kStartCode) + whole.size() - raw.size()));
      packed.bytes.insert(packed.bytes.end(), whole.begin(), whole.end());
      return packed;
    }
  }
  packed.bit_length =
      static_cast<uint32_t>(nal.bit_length + 8 * sizeof(kStartCode));
  packed.bytes.insert(packed.bytes.end(), raw.begin(), raw.end());
  return packed;
}

std::vector<NalView> SplitAnnexB(std::span<const std::byte> stream) {
  std::vector<NalView> nals;
  size_t begin = 0;
  bool inside = false;
  int zeros = 0;
  const auto end_at = [&](size_t end) {
    while (end > begin && stream[end - 1] == std::byte{0}) --end;
    if (inside && end > begin)
      nals.push_back(stream.subspan(begin, end - begin));
  };
  for (size_t i = 0; i < stream.size(); ++i) {
    if (stream[i] == std::byte{0}) {
      ++zeros;
      continue;
    }
    if (zeros >= 2 && stream[i] == std::byte{1}) {
      end_at(i);
      begin = i + 1;
      inside = true;
    }
    zeros = 0;
  }
  end_at(stream.size());
  return nals;
}

absl::StatusOr<std::vector<NalView>> SplitAvcc(
    std::span<const std::byte> access_unit) {
  std::vector<NalView> nals;
  std::span<const std::byte> rest = access_unit;
  while (!rest.empty()) {
    size_t length = 0;
    const bool whole = rest.size() >= kLengthBytes;
    for (size_t i = 0; whole && i < kLengthBytes; ++i)
      length = length << 8 | std::to_integer<size_t>(rest[i]);
    if (!whole || length > rest.size() - kLengthBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("access unit: NAL unit ", nals.size(), " says ", length,
                       " bytes, ", rest.size(), " are left"));
    }
    nals.push_back(rest.subspan(kLengthBytes, length));
    rest = rest.subspan(kLengthBytes + length);
  }
  return nals;
}

void AppendAvcc(NalView escaped, std::vector<std::byte>& out) {
  KINE_CHECK(escaped.size() <= std::numeric_limits<uint32_t>::max());
  for (size_t i = 0; i < kLengthBytes; ++i)
    out.push_back(
        static_cast<std::byte>(escaped.size() >> (8 * (kLengthBytes - 1 - i))));
  out.insert(out.end(), escaped.begin(), escaped.end());
}

}  // namespace kine::h264
