// NAL units: their header, emulation prevention, and the two framings (Annex B
// with start codes, AVCC with lengths).
//
// A NAL unit appears in two forms. *Raw*: the header byte and the RBSP, as the
// syntax reads and writes it. *Escaped*: as in a stream, with a 3 between two
// zeros and a byte up to 3.
//
// Pure functions; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"

namespace kine::h264 {

enum class NalType : uint8_t {
  kSlice = 1,
  kIdrSlice = 5,
  kSei = 6,
  kSps = 7,
  kPps = 8,
  kDelimiter = 9,
};

// Raw. A slice's header ends inside of a byte, where its data would follow;
// what is left of the last byte is zero.
struct RawNal {
  std::vector<std::byte> bytes;
  uint64_t bit_length = 0;
};

using NalView = std::span<const std::byte>;  // Without start code or length.

// The nal_unit_type; 0 for an empty one.
NalType TypeOf(NalView nal);

// Of all bytes behind the header byte, which must be there.
std::vector<std::byte> Escape(std::span<const std::byte> raw);
// Also takes what is not escaped rightly: a 3 behind two zeros goes.
std::vector<std::byte> Unescape(NalView escaped);

// One NAL unit as a VA-API packed header: VAEncPackedHeaderParameterBuffer has
// these three.
struct PackedNal {
  std::vector<std::byte> bytes;  // The start code 00 00 00 01 first.
  uint32_t bit_length = 0;       // Of `bytes`, with the start code.
  bool has_emulation_bytes = false;
};

enum class Emulation {
  kByDriver,    // bytes are raw: has_emulation_bytes is false.
  kInTheBytes,  // bytes are escaped.
};

// With kInTheBytes has_emulation_bytes is false all the same when the last byte
// is an open one behind two zeros: whether a 3 goes in front of it depends on
// the slice data.
PackedNal Pack(const RawNal& nal, Emulation emulation);

// The NAL units of an Annex B stream, views into it: without start codes and
// the zeros in front of the next; empty ones are left out. What precedes the
// first start code is none.
std::vector<NalView> SplitAnnexB(std::span<const std::byte> stream);

// The NAL units of an access unit with 4-byte lengths. INVALID_ARGUMENT when a
// length does not fit.
absl::StatusOr<std::vector<NalView>> SplitAvcc(
    std::span<const std::byte> access_unit);

// Appends the escaped unit behind its length.
void AppendAvcc(NalView escaped, std::vector<std::byte>& out);

}  // namespace kine::h264
