// DmabufMapping: a linear dmabuf frame made readable for the processor, for as
// long as this lives. The way out when the GPU cannot take a frame; slow where
// the memory is the GPU's.
//
// Encode thread only.
#pragma once

#include <array>
#include <cstddef>

#include "absl/status/statusor.h"
#include "capture/frame.h"

namespace kine {

class DmabufMapping {
 public:
  // Sets `data` and `size` of the frame's planes; `frame` must outlive it and
  // stay where it is. UNIMPLEMENTED for tiled memory and for what cannot be
  // mapped.
  static absl::StatusOr<DmabufMapping> Create(Frame& frame);
  ~DmabufMapping();
  DmabufMapping(DmabufMapping&& other) noexcept;
  DmabufMapping& operator=(DmabufMapping&&) = delete;

 private:
  struct Part {
    void* memory = nullptr;
    size_t size = 0;
    int fd = -1;
  };
  explicit DmabufMapping(Frame& frame) : frame_(&frame) {}

  Frame* frame_;
  std::array<Part, Frame::kPlanesMax> parts_;
};

}  // namespace kine
