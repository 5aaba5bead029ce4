#include "encode/mp4/box_writer.h"

#include <array>
#include <limits>

#include "daemon/base/check.h"

namespace kine::mp4 {

size_t BoxWriter::Begin(std::string_view type) {
  KINE_CHECK(type.size() == 4);
  const size_t box = out_.size();
  U32(0);
  Text(type);
  return box;
}

size_t BoxWriter::BeginFull(std::string_view type, uint8_t version,
                            uint32_t flags) {
  const size_t box = Begin(type);
  U32(uint32_t{version} << 24 | flags);
  return box;
}

void BoxWriter::End(size_t box) {
  const size_t size = out_.size() - box;
  KINE_CHECK(size <= std::numeric_limits<uint32_t>::max());
  PatchU32(box, static_cast<uint32_t>(size));
}

void BoxWriter::Text(std::string_view text) {
  Bytes(std::as_bytes(std::span(text)));
}

void BoxWriter::Bytes(std::span<const std::byte> bytes) {
  out_.insert(out_.end(), bytes.begin(), bytes.end());
}

void BoxWriter::PatchU32(size_t position, uint32_t value) {
  for (size_t i = 0; i < 4; ++i)
    out_[position + i] = static_cast<std::byte>(value >> (24 - 8 * i));
}

void BoxWriter::Number(uint64_t value, int bytes) {
  std::array<std::byte, 8> coded;
  for (int i = 0; i < bytes; ++i) {
    coded[static_cast<size_t>(i)] =
        static_cast<std::byte>(value >> (8 * (bytes - 1 - i)));
  }
  out_.insert(out_.end(), coded.begin(), coded.begin() + bytes);
}

}  // namespace kine::mp4
