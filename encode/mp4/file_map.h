// FileMap: what is known of a growing recording's file, the same whether its
// writer kept it in memory (FragmentWriter::TakeFile) or it was read back
// (Scan). The finaliser takes nothing else.
#pragma once

#include <cstdint>

#include "encode/mp4/init_segment.h"
#include "encode/mp4/sample_index.h"

namespace kine::mp4 {

struct FileMap {
  FileHeader header;
  SampleIndex index;
  uint64_t end = 0;  // Behind the last good fragment; nothing counts from here.
};

}  // namespace kine::mp4
