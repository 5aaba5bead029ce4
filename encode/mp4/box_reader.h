// Reading boxes and big-endian numbers out of bytes that may be anything.
//
// ByteReader never reads outside: past the end it gives zeros and ok() turns
// false, so that a parser checks once, at its end. BoxCursor gives the boxes of
// a payload, and stops at the first that does not fit.
//
// Values that view memory of the caller's; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace kine::mp4 {

using BoxType = uint32_t;

constexpr BoxType FourCc(const char (&text)[5]) {
  BoxType type = 0;
  for (int i = 0; i < 4; ++i)
    type = type << 8 | static_cast<unsigned char>(text[i]);
  return type;
}

class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  uint8_t U8() { return static_cast<uint8_t>(Number(1)); }
  uint16_t U16() { return static_cast<uint16_t>(Number(2)); }
  uint32_t U32() { return static_cast<uint32_t>(Number(4)); }
  uint64_t U64() { return Number(8); }
  uint64_t Versioned(uint8_t version) { return Number(version == 0 ? 4 : 8); }
  std::span<const std::byte> Bytes(uint64_t count);
  void Skip(uint64_t count) { (void)Bytes(count); }

  size_t left() const { return bytes_.size(); }
  // Nothing was read that was not there.
  bool ok() const { return ok_; }

 private:
  uint64_t Number(size_t count);

  std::span<const std::byte> bytes_;
  bool ok_ = true;
};

// The size and type at the start of a box.
struct BoxHeader {
  BoxType type = 0;
  uint32_t header_bytes = 8;  // 16 with a 64-bit size.
  uint64_t size = 0;          // Header included; 0: to the end of the file.
};

inline constexpr size_t kBoxHeaderBytesMax = 16;

// Parses the box header that `bytes` start with. Nothing when it is not whole
// or its size is smaller than itself (0 excepted).
std::optional<BoxHeader> ParseBoxHeader(std::span<const std::byte> bytes);

struct Box {
  BoxType type = 0;
  std::span<const std::byte> whole;
  std::span<const std::byte> payload;
};

class BoxCursor {
 public:
  explicit BoxCursor(std::span<const std::byte> payload) : left_(payload) {}

  // The next box, or nothing: at the end, or where a box does not fit.
  std::optional<Box> Next();
  // Every byte belonged to a box.
  bool at_end() const { return left_.empty(); }

 private:
  std::span<const std::byte> left_;
};

// The first box of that type among the boxes of `payload`.
std::optional<Box> FindBox(std::span<const std::byte> payload, BoxType type);

}  // namespace kine::mp4
