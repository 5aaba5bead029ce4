// BoxWriter: appends big-endian numbers and nested boxes to a byte vector.
//
// One thread. `out` must outlive it. Boxes are closed in the reverse order of
// their opening; KINE_CHECK when one would pass 4 GiB.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace kine::mp4 {

class BoxWriter {
 public:
  explicit BoxWriter(std::vector<std::byte>& out) : out_(out) {}

  // Opens a box and returns what End() wants.
  size_t Begin(std::string_view type);
  // The same with version and flags.
  size_t BeginFull(std::string_view type, uint8_t version, uint32_t flags);
  void End(size_t box);

  void U8(uint8_t value) { out_.push_back(std::byte{value}); }
  void U16(uint16_t value) { Number(value, 2); }
  void U32(uint32_t value) { Number(value, 4); }
  void U64(uint64_t value) { Number(value, 8); }
  // 64 bits in version 1 of a box, 32 in version 0.
  void Versioned(uint8_t version, uint64_t value) {
    Number(value, version == 0 ? 4 : 8);
  }
  void Text(std::string_view text);
  void Bytes(std::span<const std::byte> bytes);
  void Zeros(size_t count) { out_.resize(out_.size() + count); }

  // Overwrites four bytes already written.
  void PatchU32(size_t position, uint32_t value);
  size_t position() const { return out_.size(); }

 private:
  void Number(uint64_t value, int bytes);

  std::vector<std::byte>& out_;
};

}  // namespace kine::mp4
