#include "encode/va/va_handles.h"

#include <utility>

#include "absl/status/status.h"
#include "daemon/base/status.h"
#include "encode/va/va_status.h"

namespace kine {

absl::StatusOr<VaConfig> VaConfig::Create(
    VADisplay display, VAProfile profile, VAEntrypoint entrypoint,
    std::span<VAConfigAttrib> attributes) {
  VAConfigID id = VA_INVALID_ID;
  KINE_RETURN_IF_ERROR(
      VaError(vaCreateConfig(display, profile, entrypoint, attributes.data(),
                             static_cast<int>(attributes.size()), &id),
              "vaCreateConfig"));
  return VaConfig(display, id);
}

absl::StatusOr<VaSurface> VaSurface::Create(
    VADisplay display, uint32_t rt_format, int width, int height,
    std::span<VASurfaceAttrib> attributes) {
  VASurfaceID id = VA_INVALID_SURFACE;
  KINE_RETURN_IF_ERROR(VaError(
      vaCreateSurfaces(display, rt_format, static_cast<unsigned>(width),
                       static_cast<unsigned>(height), &id, 1, attributes.data(),
                       static_cast<unsigned>(attributes.size())),
      "vaCreateSurfaces"));
  return VaSurface(display, id);
}

absl::StatusOr<VaSurface> VaSurface::Allocate(VADisplay display,
                                              uint32_t fourcc, int width,
                                              int height) {
  // The RT format alone would leave the choice of the format to the driver.
  VASurfaceAttrib format =
      VaIntegerAttribute(VASurfaceAttribPixelFormat, fourcc);
  return Create(display, RtFormatOf(fourcc), width, height, {&format, 1});
}

absl::StatusOr<VaContext> VaContext::Create(VADisplay display,
                                            VAConfigID config, int width,
                                            int height,
                                            std::span<VASurfaceID> targets) {
  VAContextID id = VA_INVALID_ID;
  KINE_RETURN_IF_ERROR(VaError(
      vaCreateContext(display, config, width, height, VA_PROGRESSIVE,
                      targets.data(), static_cast<int>(targets.size()), &id),
      "vaCreateContext"));
  return VaContext(display, id);
}

absl::StatusOr<VaBuffer> VaBuffer::Create(VADisplay display,
                                          VAContextID context,
                                          VABufferType type, size_t size,
                                          const void* data) {
  VABufferID id = VA_INVALID_ID;
  // libva only reads it; its parameter is older than const.
  KINE_RETURN_IF_ERROR(VaError(
      vaCreateBuffer(display, context, type, static_cast<unsigned>(size), 1,
                     const_cast<void*>(data), &id),
      "vaCreateBuffer"));
  return VaBuffer(display, id);
}

absl::StatusOr<VaMapping> VaMapping::Create(VADisplay display,
                                            VABufferID buffer) {
  void* data = nullptr;
  KINE_RETURN_IF_ERROR(
      VaError(vaMapBuffer(display, buffer, &data), "vaMapBuffer"));
  VaMapping mapping(display, buffer);
  if (data == nullptr) {
    return absl::UnavailableError("vaMapBuffer: success without memory");
  }
  mapping.data_ = data;
  return mapping;
}

absl::StatusOr<VaImageHandle> VaImageHandle::DeriveNv12(VADisplay display,
                                                        VASurfaceID surface) {
  VAImage image = {};
  KINE_RETURN_IF_ERROR(
      VaError(vaDeriveImage(display, surface, &image), "vaDeriveImage"));
  VaImageHandle handle(display, image.image_id);
  if (image.format.fourcc != VA_FOURCC_NV12 || image.num_planes < 2) {
    return absl::UnimplementedError("vaDeriveImage: it is no NV12");
  }
  handle.image_ = image;
  return handle;
}

absl::StatusOr<VaImageHandle> VaImageHandle::CreateNv12(VADisplay display,
                                                        int width, int height) {
  VAImageFormat format = {};
  format.fourcc = VA_FOURCC_NV12;
  format.byte_order = VA_LSB_FIRST;
  format.bits_per_pixel = 12;
  VAImage image = {};
  KINE_RETURN_IF_ERROR(VaError(
      vaCreateImage(display, &format, width, height, &image), "vaCreateImage"));
  VaImageHandle handle(display, image.image_id);
  handle.image_ = image;
  return handle;
}

uint32_t RtFormatOf(uint32_t fourcc) {
  return fourcc == VA_FOURCC_NV12 ? VA_RT_FORMAT_YUV420 : VA_RT_FORMAT_RGB32;
}

VASurfaceAttrib VaIntegerAttribute(VASurfaceAttribType type, uint32_t value) {
  VASurfaceAttrib attribute = {};
  attribute.type = type;
  attribute.flags = VA_SURFACE_ATTRIB_SETTABLE;
  attribute.value.type = VAGenericValueTypeInteger;
  attribute.value.value.i = static_cast<int>(value);
  return attribute;
}

}  // namespace kine
