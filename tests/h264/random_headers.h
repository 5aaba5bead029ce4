// Headers with random members, within what the syntax allows.
#pragma once

#include <cstdint>
#include <random>

#include "encode/h264/bits.h"
#include "encode/h264/picture_headers.h"
#include "encode/h264/sps.h"

namespace kine::h264 {

class RandomHeaders {
 public:
  explicit RandomHeaders(uint32_t seed) : random_(seed) {}

  // At least 0, at most `max`; small and large ones more often.
  uint32_t Number(uint32_t max);
  int Between(int min, int max);
  bool Coin() { return Number(1) != 0; }

  Sps AnySps();
  // What others write and we only read: scaling lists, POC type 1, 4:2:2, HRD.
  // What the SPS says is in `*sps`.
  RawNal AnyForeignSps(Sps* sps);
  Pps AnyPps();
  SliceHeader AnySlice(const Sps& sps, const Pps& pps);

 private:
  Vui AnyVui();
  void ForeignChroma(Sps& sps, BitWriter& w);
  void ForeignVui(Sps& sps, BitWriter& w);
  void Hrd(BitWriter& w);

  std::mt19937 random_;
};

}  // namespace kine::h264
