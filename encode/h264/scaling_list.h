// Scaling lists are read over: we neither write nor use them.
#pragma once

#include "encode/h264/bits.h"

namespace kine::h264 {

// `lists` scaling lists, each behind its flag: six 4x4, then 8x8.
void SkipScalingMatrix(BitReader& reader, int lists);

}  // namespace kine::h264
