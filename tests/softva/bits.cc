#include "tests/softva/bits.h"

namespace kine::softva {

void BitWriter::Bit(uint32_t value) {
  pending_ = pending_ << 1 | (value & 1);
  if (++pending_bits_ < 8) return;
  bytes_.push_back(static_cast<uint8_t>(pending_));
  pending_ = 0;
  pending_bits_ = 0;
}

void BitWriter::Put(int count, uint32_t value) {
  while (count-- > 0) Bit(value >> count);
}

void BitWriter::Ue(uint32_t value) {
  const uint64_t code = uint64_t{value} + 1;
  int length = 0;
  while (code >> length > 1) ++length;
  for (int i = 0; i < length; ++i) Bit(0);
  for (int i = length; i >= 0; --i) Bit(static_cast<uint32_t>(code >> i));
}

void BitWriter::Se(int32_t value) {
  const auto magnitude = static_cast<uint32_t>(value > 0 ? value : -value);
  Ue(value > 0 ? 2 * magnitude - 1 : 2 * magnitude);
}

void BitWriter::Align(uint32_t value) {
  while (pending_bits_ != 0) Bit(value);
}

void BitWriter::Append(const uint8_t* data, size_t size) {
  if (pending_bits_ == 0) {
    bytes_.insert(bytes_.end(), data, data + size);
  } else {
    for (size_t i = 0; i < size; ++i) Put(8, data[i]);
  }
}

uint32_t BitReader::Bit() {
  if (position_ >= bits_) {
    bad_ = true;
    return 0;
  }
  const uint8_t byte = data_[position_ / 8];
  return static_cast<uint32_t>(byte >> (7 - position_++ % 8)) & 1;
}

uint32_t BitReader::Get(int count) {
  uint32_t value = 0;
  while (count-- > 0) value = value << 1 | Bit();
  return value;
}

uint32_t BitReader::Ue() {
  int zeros = 0;
  while (Bit() == 0) {
    if (++zeros <= 31 && !bad_) continue;
    bad_ = true;
    return 0;
  }
  return (1u << zeros) - 1 + Get(zeros);
}

int32_t BitReader::Se() {
  const uint32_t code = Ue();
  const auto half = static_cast<int32_t>(code / 2);
  return (code & 1) != 0 ? half + 1 : -half;
}

size_t StartCodeLength(const Bytes& data) {
  if (data.size() < 4 || data[0] != 0 || data[1] != 0) return 0;
  if (data[2] == 1) return 3;
  return data[2] == 0 && data[3] == 1 ? 4 : 0;
}

std::vector<size_t> StartCodes(const Bytes& data, size_t from) {
  std::vector<size_t> found;
  for (size_t i = from; i + 3 < data.size(); ++i) {
    if (data[i] == 0 && data[i + 1] == 0 && data[i + 2] == 1)
      found.push_back(i);
  }
  return found;
}

NalUnit Unescape(const uint8_t* data, size_t size, size_t bits) {
  NalUnit unit{{}, bits};
  int zeros = 0;
  for (size_t i = 0; i < size; ++i) {
    if (zeros >= 2 && data[i] == 3) {
      zeros = 0;
      unit.bits -= 8;
      continue;
    }
    unit.bytes.push_back(data[i]);
    zeros = data[i] != 0 ? 0 : zeros + 1;
  }
  return unit;
}

void Escape(const Bytes& rbsp, Bytes& out) {
  int zeros = 0;
  out.reserve(out.size() + rbsp.size() + rbsp.size() / 64);
  for (const uint8_t byte : rbsp) {
    if (zeros >= 2 && byte <= 3) {
      out.push_back(3);
      zeros = 0;
    }
    out.push_back(byte);
    zeros = byte != 0 ? 0 : zeros + 1;
  }
}

}  // namespace kine::softva
