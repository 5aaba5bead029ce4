// The parts that encode.cc puts together.
#pragma once

#include "tests/softva/driver.h"

namespace kine::softva {

struct PackedSets {
  bool sps = false;
  bool pps = false;
};

// packed.cc: parses what the client packed; context.sps and .pps are what it
// sent last.
VAStatus ReadPackedHeaders(Driver& driver, Context& context, PackedSets& sets);

// own_headers.cc: what a driver writes for a client that packs nothing. Without
// emulation prevention and start code.
NalUnit MakeSps(const Context& context);
NalUnit MakePps(const Context& context);
void WriteSliceHeader(const Context& context,
                      const VAEncSliceParameterBufferH264& slice,
                      BitWriter& writer);

// checks.cc: complaints about everything that can be wrong in what the client
// filled in, and that the packed headers say the same.
void CheckSequence(Driver& driver, const Context& context,
                   const PackedSets& sets);
void CheckPicture(Driver& driver, const Context& context,
                  const PackedSets& sets);
void CheckSlice(Driver& driver, const Context& context, const Slice& slice);
void CheckSliceHeader(Driver& driver, const Context& context,
                      const Slice& slice, const SliceHeader& header);

inline bool IsIdr(const Context& context) {
  return context.input.parameters.pic_fields.bits.idr_pic_flag != 0;
}
inline bool IsP(const VAEncSliceParameterBufferH264& slice) {
  return slice.slice_type % 5 == 0;
}

}  // namespace kine::softva
