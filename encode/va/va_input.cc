#include "encode/va/va_input.h"

#include <drm_fourcc.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "daemon/base/limits.h"
#include "daemon/base/status.h"
#include "encode/picture/dmabuf_mapping.h"
#include "encode/va/va_import.h"

namespace kine {
namespace {

bool IsDmabuf(const Frame& frame) {
  return frame.plane_count > 0 && frame.planes[0].data == nullptr &&
         frame.planes[0].fd >= 0;
}

// The processor checks as much when it reads.
absl::Status CheckCrop(const Frame& frame) {
  const Rect buffer = {0, 0, frame.format.width, frame.format.height};
  const Rect& crop = frame.crop;
  if (crop.empty() || Intersect(crop, buffer) != crop) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "crop %dx%d+%d+%d is not inside the %dx%d buffer", crop.width,
        crop.height, crop.x, crop.y, buffer.width, buffer.height));
  }
  if (std::min(crop.width, crop.height) < limits::kPictureSideMin ||
      std::max(crop.width, crop.height) > limits::kPictureSideMax) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "picture %dx%d: sides must be %d to %d", crop.width, crop.height,
        limits::kPictureSideMin, limits::kPictureSideMax));
  }
  return absl::OkStatus();
}

}  // namespace

bool VaInput::GpuTakes(const Frame& frame) const {
  if (!converts_ || !VaFourccOf(frame.format.fourcc).has_value()) return false;
  if (VaConverter::Fits(frame)) return true;
  // Exact is better, but a stretch by one pixel is better than nothing.
  return frame.transform == Transform::kNormal &&
         frame.format.modifier != DRM_FORMAT_MOD_LINEAR;
}

bool VaInput::WouldDrop(const Frame& frame) const {
  if (!open()) return false;
  const bool by_gpu = IsDmabuf(frame) && GpuTakes(frame);
  return by_gpu != by_gpu_ ||
         (converter_ != nullptr && converter_->WouldDrop(frame));
}

absl::StatusOr<bool> VaInput::Take(Frame& frame, const Pointer* pointer) {
  const bool dmabuf = IsDmabuf(frame);
  const bool by_gpu = dmabuf && GpuTakes(frame);
  if (dmabuf && !by_gpu && frame.format.modifier != DRM_FORMAT_MOD_LINEAR) {
    Close();
    return false;
  }
  // The other way knows nothing of what this one has seen.
  if (by_gpu != by_gpu_) Close();
  by_gpu_ = by_gpu;
  if (by_gpu) {
    const bool known = std::exchange(known_, false);
    KINE_RETURN_IF_ERROR(CheckCrop(frame));
    known_ = known;
    TakeByGpu(frame);
    return true;
  }
  if (!dmabuf) {
    KINE_RETURN_IF_ERROR(TakeByProcessor(frame, pointer));
    return true;
  }
  const auto mapping = DmabufMapping::Create(frame);
  if (!mapping.ok()) {
    Close();
    return false;
  }
  KINE_RETURN_IF_ERROR(TakeByProcessor(frame, pointer));
  return true;
}

void VaInput::TakeByGpu(const Frame& frame) {
  const bool known = known_ && frame.format == format_ && frame.crop == crop_;
  if (frame.crop.width != true_width_ || frame.crop.height != true_height_) {
    true_width_ = frame.crop.width;
    true_height_ = frame.crop.height;
    changed_ = MacroblockMap(true_width_, true_height_);
  }
  changed_.ClearAll();
  if (!known || frame.damage.full()) {
    changed_.SetAll();
  } else {
    for (const Rect& rect : frame.damage) changed_.SetRect(rect);
  }
  known_ = true;
  format_ = frame.format;
  crop_ = frame.crop;
}

absl::Status VaInput::TakeByProcessor(Frame& frame, const Pointer* pointer) {
  if (!picture_.has_value()) picture_.emplace();
  KINE_RETURN_IF_ERROR(picture_->Take(frame, pointer));
  NotePicture();
  return absl::OkStatus();
}

bool VaInput::MovePointer(const Pointer* pointer) {
  if (by_gpu_ || !picture_.has_value()) return false;
  picture_->MovePointer(pointer);
  NotePicture();
  return true;
}

void VaInput::NotePicture() {
  changed_ = picture_->changed();
  true_width_ = picture_->true_width();
  true_height_ = picture_->true_height();
  // Whatever fails between here and Write(), the surfaces lack this.
  if (upload_ != nullptr && upload_->Fits(*picture_)) {
    upload_->Changed(changed_);
  } else {
    upload_.reset();
  }
}

absl::Status VaInput::Open(const std::vector<VASurfaceID>& surfaces, int width,
                           int height) {
  upload_.reset();
  converter_.reset();
  surfaces_ = surfaces;
  if (by_gpu_) {
    KINE_ASSIGN_OR_RETURN(converter_,
                          VaConverter::Create(display_, width, height));
  }
  return absl::OkStatus();
}

void VaInput::Close() {
  upload_.reset();
  converter_.reset();
  surfaces_.clear();
  picture_.reset();
  known_ = false;
  true_width_ = 0;
  true_height_ = 0;
}

absl::StatusOr<bool> VaInput::Write(const Frame& frame, size_t index,
                                    bool& reads_later) {
  reads_later = by_gpu_;
  if (!by_gpu_) {
    if (upload_ == nullptr) {
      upload_ = std::make_unique<VaUpload>(display_, surfaces_, *picture_,
                                           writes_in_parts_);
    }
    KINE_RETURN_IF_ERROR(upload_->Write(index, *picture_));
    return true;
  }
  const absl::Status imported = converter_->Import(frame);
  if (imported.ok()) {
    const absl::Status converted = converter_->Convert(frame, surfaces_[index]);
    if (converted.ok()) return true;
    // Not every converter stretches by a pixel, or reads what it imported.
    if (!absl::IsUnimplemented(converted)) return converted;
  }
  known_ = false;
  // A refusal, or a device that does nothing any more?
  if (absl::IsUnavailable(imported)) return imported;
  return false;
}

}  // namespace kine
