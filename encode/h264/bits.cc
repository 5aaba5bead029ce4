#include "encode/h264/bits.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "daemon/base/check.h"

namespace kine::h264 {
namespace {

// Longer Exp-Golomb prefixes would name more than 2^32 - 2.
constexpr int kLongestPrefix = 31;

}  // namespace

void BitWriter::Bits(uint64_t value, int count) {
  KINE_CHECK(count >= 0 && count <= 64);
  while (count > 0) {
    const int free = 8 - static_cast<int>(bit_length_ % 8);
    if (free == 8) bytes_.push_back(std::byte{0});
    const int now = std::min(free, count);
    count -= now;
    const uint64_t part = (value >> count) & ((1u << now) - 1);
    bytes_.back() |= static_cast<std::byte>(part << (free - now));
    bit_length_ += static_cast<uint64_t>(now);
  }
}

void BitWriter::Ue(uint32_t value) {
  KINE_CHECK(value < std::numeric_limits<uint32_t>::max());
  const uint64_t code = uint64_t{value} + 1;
  Bits(code, 2 * static_cast<int>(std::bit_width(code)) - 1);
}

void BitWriter::Se(int32_t value) {
  KINE_CHECK(value > std::numeric_limits<int32_t>::min());
  Ue(value > 0 ? 2 * static_cast<uint32_t>(value) - 1
               : 2 * static_cast<uint32_t>(-value));
}

void BitWriter::Copy(std::span<const std::byte> source, uint64_t from,
                     uint64_t to) {
  KINE_CHECK(from <= to);
  BitReader reader(source, to);
  reader.Skip(from);
  while (reader.left() > 0) {
    const int now = static_cast<int>(std::min<uint64_t>(reader.left(), 32));
    Bits(reader.Bits(now), now);
  }
}

void BitWriter::Trailing() {
  Flag(true);
  bit_length_ = (bit_length_ + 7) / 8 * 8;
}

BitReader::BitReader(std::span<const std::byte> bytes, uint64_t bit_length)
    : bytes_(bytes), bit_length_(bit_length) {
  KINE_CHECK(bit_length <= uint64_t{bytes.size()} * 8);
}

uint32_t BitReader::Bits(int count) {
  KINE_CHECK(count >= 0 && count <= 32);
  if (!ok_ || left() < static_cast<uint64_t>(count)) {
    Fail();
    return 0;
  }
  uint64_t value = 0;
  int wanted = count;
  while (wanted > 0) {
    const int inside = static_cast<int>(position_ % 8);
    const int now = std::min(8 - inside, wanted);
    const auto byte = std::to_integer<uint32_t>(bytes_[position_ / 8]);
    value = (value << now) | ((byte >> (8 - inside - now)) & ((1u << now) - 1));
    position_ += static_cast<uint64_t>(now);
    wanted -= now;
  }
  return static_cast<uint32_t>(value);
}

uint32_t BitReader::Ue() {
  int zeros = 0;
  while (ok_ && !Flag()) {
    if (++zeros > kLongestPrefix) Fail();
  }
  if (!ok_) return 0;
  const uint64_t suffix = Bits(zeros);
  if (!ok_) return 0;
  return static_cast<uint32_t>((uint64_t{1} << zeros) - 1 + suffix);
}

int32_t BitReader::Se() {
  const uint32_t code = Ue();
  const auto half = static_cast<int32_t>(code / 2);
  return code % 2 != 0 ? half + 1 : -half;
}

void BitReader::Skip(uint64_t count) {
  if (!ok_ || left() < count) {
    Fail();
    return;
  }
  position_ += count;
}

uint32_t BitReader::UeUpTo(uint32_t max) {
  const uint32_t value = Ue();
  if (value <= max) return value;
  Fail();
  return 0;
}

int32_t BitReader::SeWithin(int32_t min, int32_t max) {
  const int32_t value = Se();
  if (value >= min && value <= max) return value;
  Fail();
  return 0;
}

bool BitReader::MoreData() const {
  if (!ok_) return false;
  uint64_t last = bit_length_;
  while (last > position_ && !BitAt(last - 1)) --last;
  return last > position_ + 1;
}

bool BitReader::AtTrailing() const {
  return ok_ && left() > 0 && BitAt(position_) && !MoreData();
}

void BitReader::Fail() {
  ok_ = false;
  position_ = bit_length_;
}

bool BitReader::BitAt(uint64_t position) const {
  const auto byte = std::to_integer<uint32_t>(bytes_[position / 8]);
  return ((byte >> (7 - position % 8)) & 1) != 0;
}

}  // namespace kine::h264
