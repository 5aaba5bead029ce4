// What a client makes: configs, surfaces, buffers, contexts.
#pragma once

#include <va/va.h>
#include <va/va_backend.h>
#include <va/va_enc_h264.h>
#include <va/va_vpp.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/softva/exact_coder.h"
#include "tests/softva/headers.h"
#include "tests/softva/worker.h"

namespace kine::softva {

// A mapped memfd or dmabuf.
class Memory {
 public:
  // Null when there is no memory.
  static std::shared_ptr<Memory> Allocate(size_t size);
  // Of a client's descriptor, which is duplicated. Null when it cannot be
  // mapped or is smaller than `size`.
  static std::shared_ptr<Memory> Import(int fd, size_t size);
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  int fd() const { return fd_; }

 private:
  Memory(int fd, size_t size, int protection);

  int fd_;
  size_t size_;
  uint8_t* data_ = nullptr;
};

struct Format {
  uint32_t fourcc;
  uint32_t planes;
  uint32_t bytes_per_pixel;  // Of plane 0.
  uint32_t rt_format;
  uint32_t drm_format;
  uint32_t red_at;  // The byte of a pixel; green is 1, blue 2 - red_at.
  bool alpha;
  bool rgb() const { return planes == 1; }
};
// Null when it is not supported.
const Format* FindFormat(uint32_t fourcc);
const Format* FindDrmFormat(uint32_t drm_format);
const std::vector<Format>& Formats();
VAImageFormat ImageFormat(const Format& format);

// Deliberately not the width.
uint32_t PitchOf(const Format& format, uint32_t width);
inline uint32_t RoundUp(uint32_t value, uint32_t to) {
  return (value + to - 1) / to * to;
}

struct Surface {
  const Format* format = nullptr;
  uint32_t width = 0;
  uint32_t height = 0;
  bool imported = false;
  uint64_t modifier = 0;
  std::shared_ptr<Memory> memory[2];
  uint32_t offset[2] = {};
  uint32_t pitch[2] = {};
  // What was reconstructed into it: apart from its visible memory.
  Picture reconstructed;
  bool has_reconstructed = false;
  uint32_t frame_num = 0;
  int32_t poc = 0;
  CompletionPtr completion;  // Of the last work on it; may be null.

  uint8_t* Row(uint32_t plane, uint32_t y) const {
    return memory[plane]->data() + offset[plane] + size_t{y} * pitch[plane];
  }
  bool busy() const { return completion != nullptr && !completion->done(); }
};
using SurfacePtr = std::shared_ptr<Surface>;

struct Buffer {
  VABufferType type{};
  uint32_t size = 0;  // Of an element.
  uint32_t elements = 1;
  Bytes data;
  uint32_t mapped = 0;
  SurfacePtr derived_from;  // Of an image.
  // A coded buffer's.
  std::vector<Bytes> coded;  // One or more segments.
  std::vector<VACodedBufferSegment> segments;
  uint32_t coded_status = 0;
  VAStatus map_status = VA_STATUS_SUCCESS;
  CompletionPtr completion;
  uint64_t submission = 0;  // Its place in the order; 0 when fetched.
};
using BufferPtr = std::shared_ptr<Buffer>;

struct Config {
  VAProfile profile{};
  VAEntrypoint entrypoint{};
  uint32_t rate_control = VA_RC_CQP;
  uint32_t packed_headers = 0;
  uint32_t rt_format = VA_RT_FORMAT_YUV420;
};

struct PackedHeader {
  uint32_t type = 0;
  uint32_t bits = 0;
  bool has_emulation_bytes = false;
  Bytes data;
  // Found out when the picture ends:
  Bytes before;  // Whole NAL units in front of a slice's.
  size_t start_code = 0;
  NalUnit unit;
};

struct Slice {
  VAEncSliceParameterBufferH264 parameters{};
  const PackedHeader* header = nullptr;
};

// What one picture is rendered with, between Begin and End.
struct PictureInput {
  VASurfaceID target = VA_INVALID_SURFACE;
  bool broken = false;  // A fault was injected into it.
  bool has_parameters = false;
  VAEncPictureParameterBufferH264 parameters{};
  bool new_sequence = false;
  std::vector<PackedHeader> packed;
  std::vector<Slice> slices;
  // The order of the output: an index into `packed`, or, from kSliceItem on,
  // into `slices`.
  static constexpr size_t kSliceItem = 1 << 20;
  std::vector<size_t> items;
  bool packed_announced = false;  // Its data come next.
  VAEncPackedHeaderParameterBuffer announced{};
  bool has_dirty_rects = false;
  std::vector<VARectangle> dirty_rects;
  bool has_pipeline = false;
  VAProcPipelineParameterBuffer pipeline{};
  VARectangle input_region{};  // Empty: all of it.
  VARectangle output_region{};
};

struct Context {
  Config config;
  uint32_t width = 0;
  uint32_t height = 0;
  bool in_picture = false;
  PictureInput input;
  bool has_sequence = false;
  VAEncSequenceParameterBufferH264 sequence{};
  bool has_rate_control = false;
  Sps sps;
  Pps pps;
  uint64_t pictures = 0;
  // Of the picture before.
  bool last_was_idr = false;
  uint32_t last_idr_pic_id = 0;
  uint32_t last_frame_num = 0;
};
using ContextPtr = std::shared_ptr<Context>;

}  // namespace kine::softva
