// What is done when a picture ends: the checks first, then the work.
#pragma once

#include <cstring>
#include <functional>

#include "tests/softva/driver.h"

namespace kine::softva {

// What the worker does, and whom its end concerns.
struct Submission {
  std::function<VAStatus()> work;
  std::vector<SurfacePtr> surfaces;
  BufferPtr coded;
};

// The structure at the start of a buffer's data.
template <typename Struct>
bool Read(Driver& driver, const Buffer& buffer, size_t from, Struct& out) {
  if (buffer.data.size() < from + sizeof(out)) {
    driver.Complain("a buffer of type %d has %zu bytes, its structure %zu",
                    buffer.type, buffer.data.size(), sizeof(out));
    return false;
  }
  std::memcpy(&out, buffer.data.data() + from, sizeof(out));
  return true;
}

// misc.cc: what comes in a miscellaneous parameter. False: it is no such
// buffer.
bool ReadMisc(Driver& driver, const Buffer& buffer, Context& context);
// encode.cc
VAStatus PrepareEncode(Driver& driver, Context& context,
                       Submission& submission);
// video_processing.cc
VAStatus PrepareProcessing(Driver& driver, Context& context,
                           Submission& submission);

}  // namespace kine::softva
