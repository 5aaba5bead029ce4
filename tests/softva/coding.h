// The work on a picture whose parameters were found good.
#pragma once

#include <vector>

#include "tests/softva/driver.h"

namespace kine::softva {

// A part of the coded picture.
struct CodedPart {
  Bytes raw;  // Whole NAL units, as they go out.
  bool slice = false;
  BitWriter writer;  // The slice's header; its data are to follow.
  size_t start_code = 4;
  SliceJob job;
  SurfacePtr reference;
};

struct CodingJob {
  Driver* driver;
  std::vector<CodedPart> parts;
  SurfacePtr input;
  SurfacePtr reconstructed;
  BufferPtr coded;
  uint32_t width_in_mbs;
  uint32_t height_in_mbs;
  int32_t qp = 0;
  bool has_dirty_rects = false;
  std::vector<VARectangle> dirty_rects;
};

void AddStartCode(size_t length, Bytes& stream);
// With start code and emulation prevention.
void AddUnit(const NalUnit& unit, Bytes& stream);

// On the worker: codes the picture into the job's coded buffer.
VAStatus Code(CodingJob& job);

}  // namespace kine::softva
