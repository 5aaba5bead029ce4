#include "encode/mp4/box_reader.h"

namespace kine::mp4 {

std::span<const std::byte> ByteReader::Bytes(uint64_t count) {
  if (count > bytes_.size()) {
    ok_ = false;
    bytes_ = {};
    return {};
  }
  const auto taken = bytes_.first(static_cast<size_t>(count));
  bytes_ = bytes_.subspan(static_cast<size_t>(count));
  return taken;
}

uint64_t ByteReader::Number(size_t count) {
  uint64_t value = 0;
  for (const std::byte byte : Bytes(count))
    value = value << 8 | static_cast<uint64_t>(byte);
  return value;
}

std::optional<BoxHeader> ParseBoxHeader(std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  BoxHeader header;
  header.size = reader.U32();
  header.type = reader.U32();
  if (header.size == 1) {
    header.size = reader.U64();
    header.header_bytes = 16;
    // 0 is "to the end" in the 32-bit field only.
    if (header.size == 0) return std::nullopt;
  }
  if (!reader.ok()) return std::nullopt;
  if (header.size != 0 && header.size < header.header_bytes)
    return std::nullopt;
  return header;
}

std::optional<Box> BoxCursor::Next() {
  const std::optional<BoxHeader> header = ParseBoxHeader(left_);
  if (!header || header->size == 0 || header->size > left_.size())
    return std::nullopt;
  Box box;
  box.type = header->type;
  box.whole = left_.first(static_cast<size_t>(header->size));
  box.payload = box.whole.subspan(header->header_bytes);
  left_ = left_.subspan(box.whole.size());
  return box;
}

std::optional<Box> FindBox(std::span<const std::byte> payload, BoxType type) {
  BoxCursor cursor(payload);
  while (const std::optional<Box> box = cursor.Next()) {
    if (box->type == type) return box;
  }
  return std::nullopt;
}

}  // namespace kine::mp4
