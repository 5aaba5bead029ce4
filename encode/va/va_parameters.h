// The structures that libva takes for a picture. What is in them must agree
// with the stream's headers to the bit, whoever writes those, so both come from
// the same VaStream and VaPicture.
//
// Pure functions; any thread.
#pragma once

#include <va/va.h>
#include <va/va_enc_h264.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "encode/encoder.h"
#include "encode/h264/picture_headers.h"
#include "encode/h264/sps.h"
#include "encode/va/va_caps.h"
#include "encode/va/va_gop.h"

namespace kine {

// How the driver steers the size: one VA_RC_* bit, and what it needs.
struct VaRate {
  uint32_t mode = VA_RC_CQP;
  uint64_t bits_per_second = 0;  // The mean; with CBR, VBR and QVBR.
  int quality_qp = 26;           // With ICQ and QVBR: 1 (best) .. 51.
  double fps = 30;
};

struct VaStream {
  h264::Sps sps;
  h264::Pps pps;
  VaRate rate;
  uint32_t quality_level = 0;  // 1..VaCodec::quality_range; 0: not sent.
  // This driver takes the QP from pic_init_qp alone.
  bool qp_in_pic_init_qp = false;

  int macroblocks() const {
    return static_cast<int>(sps.width_in_mbs * sps.height_in_map_units);
  }
};

// For pictures of width x height, both even.
VaStream StreamFor(const VaCodec& codec, const VaRate& rate, int width,
                   int height);

// The surfaces and buffers of one picture.
struct VaPictureIds {
  VASurfaceID reconstructed = VA_INVALID_SURFACE;
  VASurfaceID reference = VA_INVALID_SURFACE;
  VABufferID coded = VA_INVALID_ID;
};

VAEncSequenceParameterBufferH264 SequenceParameters(const VaStream& stream);
VAEncPictureParameterBufferH264 PictureParameters(const VaStream& stream,
                                                  const VaPicture& picture,
                                                  const VaPictureIds& ids);
VAEncSliceParameterBufferH264 SliceParameters(const VaStream& stream,
                                              const VaPicture& picture,
                                              const VaPictureIds& ids);
h264::SliceHeader SliceHeaderFor(const VaStream& stream,
                                 const VaPicture& picture);

// Contents of VAEncMiscParameterBufferType buffers that a keyframe begins with:
// rate control, frame rate and HRD when the driver steers the size, and the
// quality level. `qp_at_least`: 0, or what a picture that came out too large is
// coded again with.
std::vector<std::vector<std::byte>> MiscParameters(const VaStream& stream,
                                                   int qp_at_least);

}  // namespace kine
