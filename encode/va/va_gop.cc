#include "encode/va/va_gop.h"

namespace kine {

VaPicture VaGop::Next(bool idr, int qp) const {
  VaPicture next;
  next.idr = idr || !started_;
  next.qp = qp;
  next.reconstructed = started_ ? 1 - last_.reconstructed : 0;
  if (next.idr) {
    next.idr_pic_id = next_idr_pic_id_;
    return next;
  }
  constexpr unsigned kMask = (1u << kLog2MaxFrameNum) - 1;
  next.frame_num = static_cast<uint16_t>((last_.frame_num + 1u) & kMask);
  next.order = last_.order + 2;
  next.reference = last_.reconstructed;
  next.reference_frame_num = last_.frame_num;
  next.reference_order = last_.order;
  return next;
}

void VaGop::Took(const VaPicture& picture) {
  started_ = true;
  last_ = picture;
  // Two neighbours must differ; with two values all do.
  if (picture.idr) next_idr_pic_id_ = picture.idr_pic_id ^ 1;
}

}  // namespace kine
