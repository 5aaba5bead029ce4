// A lossless H.264 slice coder: what a decoder makes of its slices is the
// input, byte for byte.
//
// Every macroblock is I_PCM, or P_Skip where its 384 bytes equal those of the
// same place in the reference. With no other kinds around, the motion predictor
// of P_Skip is 0 everywhere, so P_Skip is a copy. Deblocking: I_PCM counts as
// QP 0 and P_Skip as the slice's QP, so without offsets the filter does nothing
// as long as (QP + 1) / 2 < 16; above that, unless it is off, nothing is
// skipped.
#pragma once

#include <cstdint>

#include "tests/softva/bits.h"

namespace kine::softva {

// NV12, in whole macroblocks.
struct Picture {
  uint32_t width_in_mbs = 0;
  uint32_t height_in_mbs = 0;
  Bytes luma;
  Bytes chroma;

  void Resize(uint32_t new_width_in_mbs, uint32_t new_height_in_mbs);
  size_t stride() const { return size_t{width_in_mbs} * 16; }
  bool SameMacroblock(const Picture& other, uint32_t macroblock) const;
  // The 384 bytes of I_PCM.
  void CopyPcm(uint32_t macroblock, uint8_t* out) const;
};

struct SliceJob {
  bool p = false;
  bool cabac = false;
  uint32_t cabac_init_idc = 0;
  int32_t qp = 26;
  bool deblocking = false;
  uint32_t first = 0;  // Macroblocks.
  uint32_t count = 0;
};

// `writer` holds the slice's header; appends slice_data() and the trailing
// bits. `reference` may be null: nothing is skipped. Returns how many
// macroblocks were.
uint32_t WriteSliceData(const SliceJob& job, const Picture& picture,
                        const Picture* reference, BitWriter& writer);

}  // namespace kine::softva
