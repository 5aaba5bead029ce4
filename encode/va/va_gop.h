// VaGop: which picture comes next in a stream of one keyframe and then pictures
// that refer to the one before: its numbers, and the two surfaces that its
// reconstruction and its reference are in.
//
// Pure; encode thread only.
#pragma once

#include <cstdint>

namespace kine {

struct VaPicture {
  bool idr = false;
  uint16_t frame_num = 0;   // Within its modulus.
  uint16_t idr_pic_id = 0;  // Of a keyframe: unlike that of the one before.
  int32_t order = 0;  // Picture order count: twice the pictures since IDR.
  // Index of the surface that it is reconstructed in, 0 or 1.
  int reconstructed = 0;
  // The picture it refers to; not for a keyframe.
  int reference = 0;
  uint16_t reference_frame_num = 0;
  int32_t reference_order = 0;
  int qp = 0;
};

class VaGop {
 public:
  // frame_num is counted modulo 2^kLog2MaxFrameNum. 8 is what every driver
  // knows; it wraps within seconds, so that whoever gets that wrong is seen.
  static constexpr int kLog2MaxFrameNum = 8;
  static constexpr int kReconstructed = 2;

  // The first is a keyframe, whatever `idr` says.
  VaPicture Next(bool idr, int qp) const;
  // The driver has taken it; the next one follows it.
  void Took(const VaPicture& picture);

 private:
  bool started_ = false;
  VaPicture last_;
  uint16_t next_idr_pic_id_ = 0;
};

}  // namespace kine
