#include "encode/va/va_import.h"

#include <drm_fourcc.h>
#include <sys/stat.h>
#include <unistd.h>
#include <va/va_drmcommon.h>

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_format.h"
#include "daemon/base/limits.h"
#include "daemon/base/status.h"

namespace kine {
namespace {

// Of a dmabuf; 0 when it does not say.
uint32_t SizeOf(int fd) {
  const off_t end = ::lseek(fd, 0, SEEK_END);
  (void)::lseek(fd, 0, SEEK_SET);  // As it was; others may look, too.
  return end > 0 && end <= UINT32_MAX ? static_cast<uint32_t>(end) : 0;
}

ino_t InodeOf(int fd) {
  struct stat info = {};
  return ::fstat(fd, &info) == 0 ? info.st_ino : 0;
}

// What the plane takes when it is linear, for buffers that hide their size.
uint32_t LeastSize(const Frame& frame, const Plane& plane) {
  const uint64_t size =
      plane.offset +
      uint64_t{plane.stride} * static_cast<uint64_t>(frame.format.height);
  return static_cast<uint32_t>(std::min<uint64_t>(size, UINT32_MAX));
}

absl::StatusOr<VADRMPRIMESurfaceDescriptor> Describe(const Frame& frame,
                                                     uint32_t fourcc) {
  VADRMPRIMESurfaceDescriptor description = {};
  description.fourcc = fourcc;
  description.width = static_cast<uint32_t>(frame.format.width);
  description.height = static_cast<uint32_t>(frame.format.height);
  description.num_layers = 1;
  auto& layer = description.layers[0];
  layer.drm_format = frame.format.fourcc;
  layer.num_planes = static_cast<uint32_t>(frame.plane_count);
  for (int i = 0; i < frame.plane_count; ++i) {
    const Plane& plane = frame.planes[static_cast<size_t>(i)];
    if (plane.fd < 0) return absl::UnimplementedError("a plane is no dmabuf");
    uint32_t object = 0;
    while (object < description.num_objects &&
           description.objects[object].fd != plane.fd) {
      ++object;
    }
    if (object == description.num_objects) {
      ++description.num_objects;
      description.objects[object].fd = plane.fd;
      description.objects[object].size = SizeOf(plane.fd);
      description.objects[object].drm_format_modifier = frame.format.modifier;
    }
    if (description.objects[object].size == 0) {
      description.objects[object].size = LeastSize(frame, plane);
    }
    layer.object_index[i] = object;
    layer.offset[i] = plane.offset;
    layer.pitch[i] = plane.stride;
  }
  return description;
}

VASurfaceAttrib DescriptorAttribute(void* descriptor) {
  VASurfaceAttrib attribute = {};
  attribute.type = VASurfaceAttribExternalBufferDescriptor;
  attribute.flags = VA_SURFACE_ATTRIB_SETTABLE;
  attribute.value.type = VAGenericValueTypePointer;
  attribute.value.value.p = descriptor;
  return attribute;
}

// Without a modifier the layout is what the two drivers agree on behind our
// backs; only the older descriptor can say that.
absl::StatusOr<VaSurface> ImportWithoutModifier(
    VADisplay display, const VADRMPRIMESurfaceDescriptor& description) {
  if (description.num_objects != 1) {
    return absl::UnimplementedError(
        "planes in several dmabufs without a modifier");
  }
  const auto& layer = description.layers[0];
  uintptr_t fd = static_cast<uintptr_t>(description.objects[0].fd);
  VASurfaceAttribExternalBuffers buffers = {};
  buffers.pixel_format = description.fourcc;
  buffers.width = description.width;
  buffers.height = description.height;
  buffers.data_size = description.objects[0].size;
  buffers.num_planes = layer.num_planes;
  for (uint32_t i = 0; i < layer.num_planes; ++i) {
    buffers.pitches[i] = layer.pitch[i];
    buffers.offsets[i] = layer.offset[i];
  }
  buffers.buffers = &fd;
  buffers.num_buffers = 1;
  // Memory type before descriptor: Mesa reads the one by the other.
  std::array<VASurfaceAttrib, 3> attributes = {
      VaIntegerAttribute(VASurfaceAttribPixelFormat, description.fourcc),
      VaIntegerAttribute(VASurfaceAttribMemoryType,
                         VA_SURFACE_ATTRIB_MEM_TYPE_DRM_PRIME),
      DescriptorAttribute(&buffers)};
  return VaSurface::Create(display, RtFormatOf(description.fourcc),
                           static_cast<int>(description.width),
                           static_cast<int>(description.height), attributes);
}

}  // namespace

std::optional<uint32_t> VaFourccOf(uint32_t drm_fourcc) {
  // DRM names the bits of a little-endian word, VA the bytes in memory.
  switch (drm_fourcc) {
    case DRM_FORMAT_XRGB8888:
      return VA_FOURCC_BGRX;
    case DRM_FORMAT_ARGB8888:
      return VA_FOURCC_BGRA;
    case DRM_FORMAT_XBGR8888:
      return VA_FOURCC_RGBX;
    case DRM_FORMAT_ABGR8888:
      return VA_FOURCC_RGBA;
    case DRM_FORMAT_NV12:
      return VA_FOURCC_NV12;
    default:
      return std::nullopt;
  }
}

absl::StatusOr<VaSurface> ImportDmabuf(VADisplay display, const Frame& frame) {
  const auto fourcc = VaFourccOf(frame.format.fourcc);
  if (!fourcc.has_value()) {
    return absl::UnimplementedError(absl::StrFormat(
        "no VA surface has the format 0x%x", frame.format.fourcc));
  }
  KINE_ASSIGN_OR_RETURN(VADRMPRIMESurfaceDescriptor description,
                        Describe(frame, *fourcc));
  if (frame.format.modifier == DRM_FORMAT_MOD_INVALID) {
    return ImportWithoutModifier(display, description);
  }
  std::array<VASurfaceAttrib, 3> attributes = {
      VaIntegerAttribute(VASurfaceAttribPixelFormat, *fourcc),
      VaIntegerAttribute(VASurfaceAttribMemoryType,
                         VA_SURFACE_ATTRIB_MEM_TYPE_DRM_PRIME_2),
      DescriptorAttribute(&description)};
  return VaSurface::Create(display, RtFormatOf(*fourcc), frame.format.width,
                           frame.format.height, attributes);
}

bool VaImports::WouldDrop(const Frame& frame) const {
  if (imports_.empty()) return false;
  const auto known = imports_.find(frame.buffer_id);
  if (frame.format != format_) return true;
  if (known == imports_.end()) return imports_.size() >= limits::kVaImportsMax;
  return known->second.inode != InodeOf(frame.planes[0].fd);
}

absl::StatusOr<VASurfaceID> VaImports::SurfaceOf(const Frame& frame) {
  if (WouldDrop(frame)) imports_.clear();
  format_ = frame.format;
  const auto known = imports_.find(frame.buffer_id);
  if (known != imports_.end()) return known->second.surface.id();
  KINE_ASSIGN_OR_RETURN(VaSurface surface, ImportDmabuf(display_, frame));
  const VASurfaceID id = surface.id();
  imports_.emplace(frame.buffer_id,
                   Import{InodeOf(frame.planes[0].fd), std::move(surface)});
  return id;
}

}  // namespace kine
