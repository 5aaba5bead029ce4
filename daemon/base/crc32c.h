// CRC-32C (Castagnoli, reflected, as in RFC 3720 B.4): guards fragments and the
// lines of append-only files. Uses the CPU's instruction where it has one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace kine {

// Continues `crc` (0 to start) over `data`:
// Crc32c(Crc32c(0, a), b) == Crc32c(0, a + b).
uint32_t Crc32c(uint32_t crc, std::span<const std::byte> data);

// The table version, on every machine; the reference for tests.
uint32_t Crc32cPortable(uint32_t crc, std::span<const std::byte> data);

}  // namespace kine
