// Between our client and libva, in the test binary only: the linker takes
// these definitions of libva's functions first, and they call libva's own.
//
// Thread: set and cleared where the encoder is called.
#pragma once

#include <va/va.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace kine {

// What becomes of the client's calls; an empty function changes nothing.
struct VaMutation {
  // The bytes of a parameter buffer, before it is made.
  std::function<void(VABufferType type, std::vector<uint8_t>& data)> buffer;
  // The attributes of vaCreateSurfaces, and what they point to.
  std::function<void(VASurfaceAttrib* attributes, unsigned count)> attributes;
  // The buffers of one vaRenderPicture, with the types they were made with.
  struct Rendered {
    VABufferID id;
    VABufferType type;
  };
  std::function<void(std::vector<Rendered>& buffers)> render;
  // The surface of vaBeginPicture.
  std::function<VASurfaceID(VASurfaceID target)> target;
  // The list of coded segments.
  std::function<void(VACodedBufferSegment* first)> segments;
  // A function that succeeds without being called: "vaDestroyBuffer".
  std::string swallowed;
};

class ScopedVaMutation {
 public:
  explicit ScopedVaMutation(VaMutation mutation);
  ~ScopedVaMutation();
  ScopedVaMutation(const ScopedVaMutation&) = delete;
  ScopedVaMutation& operator=(const ScopedVaMutation&) = delete;
};

}  // namespace kine
