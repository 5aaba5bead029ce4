#include "tests/softva/encode_parts.h"

namespace kine::softva {
namespace {

// The bit of VAConfigAttribEncPackedHeaders that lets a client send `type`.
uint32_t ConfigBits(uint32_t type) {
  switch (type) {
    case VAEncPackedHeaderSequence:
      return VA_ENC_PACKED_HEADER_SEQUENCE;
    case VAEncPackedHeaderPicture:
      return VA_ENC_PACKED_HEADER_PICTURE;
    case VAEncPackedHeaderSlice:
      return VA_ENC_PACKED_HEADER_SLICE;
    case VAEncPackedHeaderRawData:
      // FFmpeg sends SEI so, having asked for MISC.
      return VA_ENC_PACKED_HEADER_RAW_DATA | VA_ENC_PACKED_HEADER_MISC;
    default:
      return VA_ENC_PACKED_HEADER_MISC;
  }
}

// Emulation prevention that the client says it has done.
void CheckEscaped(Driver& driver, const Bytes& data, size_t from, size_t to) {
  for (size_t i = from; i + 2 < to; ++i) {
    if (data[i] == 0 && data[i + 1] == 0 && data[i + 2] < 3) {
      driver.Complain("a packed header has_emulation_bytes, and 00 00 %02x",
                      data[i + 2]);
      return;
    }
  }
}

// FFmpeg puts an AUD in front of the slice's header, in one buffer.
void SplitSlice(PackedHeader& header) {
  const auto codes = StartCodes(header.data, 1);
  if (!header.has_emulation_bytes || codes.empty()) return;
  size_t last = codes.back();
  if (last <= header.start_code) return;
  if (header.data[last - 1] == 0) --last;
  const auto middle = header.data.begin() + static_cast<ptrdiff_t>(last);
  header.before.assign(header.data.begin(), middle);
  header.data.erase(header.data.begin(), middle);
  header.bits -= static_cast<uint32_t>(last * 8);
  header.start_code = StartCodeLength(header.data);
}

VAStatus ReadParameterSet(Driver& driver, const NalUnit& unit, Context& context,
                          PackedSets& sets) {
  std::string why;
  constexpr int kSei = 6, kSps = 7, kPps = 8, kAud = 9;
  switch (unit.type()) {
    case kSps:
      why = ParseSps(unit, context.sps);
      sets.sps = true;
      break;
    case kPps:
      why = ParsePps(unit, context.sps, context.pps);
      sets.pps = true;
      break;
    case kSei:
    case kAud:
      break;
    default:
      why = "a NAL unit of type " + std::to_string(unit.type()) +
            " is packed as a parameter set";
  }
  if (why.empty()) return VA_STATUS_SUCCESS;
  driver.Complain("%s", why.c_str());
  return VA_STATUS_ERROR_INVALID_PARAMETER;
}

// FFmpeg packs AUD, SPS and PPS into one buffer.
VAStatus ReadParameterSets(Driver& driver, const PackedHeader& header,
                           Context& context, PackedSets& sets) {
  if (!header.has_emulation_bytes)
    return ReadParameterSet(driver, header.unit, context, sets);
  std::vector<size_t> codes = StartCodes(header.data, header.start_code - 3);
  for (size_t i = 0; i < codes.size(); ++i) {
    const size_t from = codes[i] + 3;
    size_t to = i + 1 < codes.size() ? codes[i + 1] : header.data.size();
    while (i + 1 < codes.size() && to > from && header.data[to - 1] == 0) --to;
    CheckEscaped(driver, header.data, from, to);
    const NalUnit unit =
        Unescape(&header.data[from], to - from, (to - from) * 8);
    const VAStatus status = ReadParameterSet(driver, unit, context, sets);
    if (status != VA_STATUS_SUCCESS) return status;
  }
  return VA_STATUS_SUCCESS;
}

// iHD and recent va.h: what a config asks for must come.
void CheckSupplied(Driver& driver, const Context& context,
                   const PackedSets& sets) {
  const uint32_t expected =
      driver.settings.needs_packed
          ? context.config.packed_headers | driver.settings.packed_headers
          : context.config.packed_headers;
  if (!IsIdr(context)) return;
  if ((expected & VA_ENC_PACKED_HEADER_SEQUENCE) != 0 && !sets.sps)
    driver.Complain("no packed SPS at an IDR picture");
  if ((expected & VA_ENC_PACKED_HEADER_PICTURE) != 0 && !sets.pps)
    driver.Complain("no packed PPS at an IDR picture");
}

}  // namespace

VAStatus ReadPackedHeaders(Driver& driver, Context& context, PackedSets& sets) {
  if (context.input.packed_announced)
    driver.Complain("packed header parameters come without their data");
  for (PackedHeader& header : context.input.packed) {
    header.start_code = StartCodeLength(header.data);
    if (header.type == VAEncPackedHeaderSlice && header.start_code > 0)
      SplitSlice(header);
    if (header.start_code == 0) {
      driver.Complain("packed header of type %u has no start code",
                      header.type);
      return VA_STATUS_ERROR_INVALID_PARAMETER;
    }
    if ((context.config.packed_headers & ConfigBits(header.type)) == 0)
      driver.Complain("packed header of type %u, the config asks for 0x%x",
                      header.type, context.config.packed_headers);
    const size_t bits = header.bits - header.start_code * 8;
    const uint8_t* const bytes = header.data.data() + header.start_code;
    const size_t size = header.data.size() - header.start_code;
    if (header.has_emulation_bytes) {
      header.unit = Unescape(bytes, size, bits);
    } else {
      header.unit = {Bytes(bytes, bytes + size), bits};
    }
    if (header.type != VAEncPackedHeaderSequence &&
        header.type != VAEncPackedHeaderPicture)
      continue;
    const VAStatus status = ReadParameterSets(driver, header, context, sets);
    if (status != VA_STATUS_SUCCESS) return status;
  }
  CheckSupplied(driver, context, sets);
  return VA_STATUS_SUCCESS;
}

}  // namespace kine::softva
