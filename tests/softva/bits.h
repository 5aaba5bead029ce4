// Bits and NAL units. Deliberately not the client's own code: what judges its
// headers shares nothing with what writes them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace kine::softva {

using Bytes = std::vector<uint8_t>;

class BitWriter {
 public:
  void Bit(uint32_t value);
  void Put(int count, uint32_t value);
  void Ue(uint32_t value);
  void Se(int32_t value);
  void Align(uint32_t value);
  // Raw bytes; quick when aligned.
  void Append(const uint8_t* data, size_t size);
  void Trailing() { Bit(1), Align(0); }
  // Whole bytes only.
  const Bytes& bytes() const { return bytes_; }

 private:
  Bytes bytes_;
  uint32_t pending_ = 0;
  int pending_bits_ = 0;
};

class BitReader {
 public:
  BitReader(const uint8_t* data, size_t bits) : data_(data), bits_(bits) {}
  uint32_t Bit();
  uint32_t Get(int count);
  uint32_t Ue();
  int32_t Se();
  size_t position() const { return position_; }
  // It was asked for more than there is.
  bool bad() const { return bad_; }

 private:
  const uint8_t* data_;
  size_t bits_;
  size_t position_ = 0;
  bool bad_ = false;
};

// A NAL unit without its start code and without emulation prevention.
struct NalUnit {
  Bytes bytes;
  size_t bits = 0;
  int type() const { return bytes.empty() ? 0 : bytes[0] & 31; }
};

// 3, 4, or 0 when `data` begins with none.
size_t StartCodeLength(const Bytes& data);
// The start codes from `from` on: where their 00 00 01 begins.
std::vector<size_t> StartCodes(const Bytes& data, size_t from);
NalUnit Unescape(const uint8_t* data, size_t size, size_t bits);
void Escape(const Bytes& rbsp, Bytes& out);

}  // namespace kine::softva
