// Bits of H.264 syntax (ITU-T H.264, clause 7.2 and 9.1): fixed fields and
// Exp-Golomb codes, to the bit.
//
// Values; no thread of their own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace kine::h264 {

class BitWriter {
 public:
  // The lowest `count` (0..64) bits of `value`, highest first.
  void Bits(uint64_t value, int count);
  void Flag(bool value) { Bits(value ? 1 : 0, 1); }
  void Ue(uint32_t value);  // At most 2^32 - 2.
  void Se(int32_t value);   // At least -2^31 + 1.
  // The bits [from, to) of `source`, which must have them.
  void Copy(std::span<const std::byte> source, uint64_t from, uint64_t to);
  // rbsp_trailing_bits(): a one, then zeros up to the byte's end.
  void Trailing();

  uint64_t bit_length() const { return bit_length_; }
  // What is left of the last byte is zero.
  const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
  uint64_t bit_length_ = 0;
};

// Reads beyond the end and codes longer than 32 bits make it not ok(); then all
// that follows is zero.
class BitReader {
 public:
  explicit BitReader(std::span<const std::byte> bytes)
      : BitReader(bytes, uint64_t{bytes.size()} * 8) {}
  // Of `bytes`, which must have so many bits.
  BitReader(std::span<const std::byte> bytes, uint64_t bit_length);

  uint32_t Bits(int count);  // 0..32.
  bool Flag() { return Bits(1) != 0; }
  uint32_t Ue();
  int32_t Se();
  void Skip(uint64_t count);
  // Ue(), but not ok() above `max`.
  uint32_t UeUpTo(uint32_t max);
  // Se(), but not ok() outside of [min, max].
  int32_t SeWithin(int32_t min, int32_t max);

  // True while something precedes the last one bit, rbsp_stop_one_bit.
  bool MoreData() const;
  // What is left is a one and then only zeros.
  bool AtTrailing() const;

  bool ok() const { return ok_; }
  uint64_t position() const { return position_; }
  uint64_t left() const { return bit_length_ - position_; }

 private:
  void Fail();
  bool BitAt(uint64_t position) const;

  std::span<const std::byte> bytes_;
  uint64_t bit_length_;
  uint64_t position_ = 0;
  bool ok_ = true;
};

}  // namespace kine::h264
