#include "daemon/base/crc32c.h"

#include <array>
#include <cstring>
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace kine {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;  // Reflected 0x1edc6f41.

constexpr std::array<uint32_t, 256> MakeTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit)
      value = (value >> 1) ^ ((value & 1) != 0 ? kPolynomial : 0);
    table[i] = value;
  }
  return table;
}

constexpr std::array<uint32_t, 256> kTable = MakeTable();

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t Crc32cHardware(
    uint32_t crc, std::span<const std::byte> data) {
  uint64_t value = ~crc;
  const std::byte* p = data.data();
  size_t left = data.size();
  for (; left >= 8; left -= 8, p += 8) {
    uint64_t word;
    std::memcpy(&word, p, sizeof word);
    value = _mm_crc32_u64(value, word);
  }
  uint32_t narrow = static_cast<uint32_t>(value);
  for (; left > 0; --left, ++p)
    narrow = _mm_crc32_u8(narrow, static_cast<uint8_t>(*p));
  return ~narrow;
}
#endif

}  // namespace

uint32_t Crc32cPortable(uint32_t crc, std::span<const std::byte> data) {
  crc = ~crc;
  for (std::byte b : data)
    crc = kTable[(crc ^ static_cast<uint8_t>(b)) & 0xff] ^ (crc >> 8);
  return ~crc;
}

uint32_t Crc32c(uint32_t crc, std::span<const std::byte> data) {
#if defined(__x86_64__)
  static const bool kHardware = __builtin_cpu_supports("sse4.2") != 0;
  if (kHardware) return Crc32cHardware(crc, data);
#endif
  return Crc32cPortable(crc, data);
}

}  // namespace kine
