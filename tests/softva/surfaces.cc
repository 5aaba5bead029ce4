#include <fcntl.h>
#include <va/va_drmcommon.h>

#include "tests/softva/driver.h"
#include "tests/softva/entries.h"
#include "tests/softva/import.h"

namespace kine::softva {
namespace {

VAStatus ReadAttribute(Driver& driver, const VASurfaceAttrib& attribute,
                       Wish& wish) {
  if ((attribute.flags & VA_SURFACE_ATTRIB_SETTABLE) == 0)
    driver.Complain("surface attribute %d is not flagged SETTABLE",
                    attribute.type);
  const bool pointer =
      attribute.type == VASurfaceAttribExternalBufferDescriptor ||
      attribute.type == VASurfaceAttribDRMFormatModifiers;
  if (attribute.value.type !=
      (pointer ? VAGenericValueTypePointer : VAGenericValueTypeInteger))
    driver.Complain("surface attribute %d has a value of type %d",
                    attribute.type, attribute.value.type);
  switch (attribute.type) {
    case VASurfaceAttribPixelFormat:
      wish.fourcc = static_cast<uint32_t>(attribute.value.value.i);
      return VA_STATUS_SUCCESS;
    case VASurfaceAttribMemoryType:
      wish.memory_type = static_cast<uint32_t>(attribute.value.value.i);
      return VA_STATUS_SUCCESS;
    case VASurfaceAttribExternalBufferDescriptor:
      // Mesa reads the descriptor by the memory type that it has seen so far.
      if (wish.memory_type == VA_SURFACE_ATTRIB_MEM_TYPE_VA) {
        driver.Complain("the buffer descriptor comes before the memory type");
        return VA_STATUS_ERROR_INVALID_PARAMETER;
      }
      wish.descriptor = attribute.value.value.p;
      return VA_STATUS_SUCCESS;
    case VASurfaceAttribDRMFormatModifiers:
      wish.modifiers =
          static_cast<const VADRMFormatModifierList*>(attribute.value.value.p);
      return VA_STATUS_SUCCESS;
    case VASurfaceAttribUsageHint:
      return VA_STATUS_SUCCESS;
    default:
      return VA_STATUS_ERROR_ATTR_NOT_SUPPORTED;
  }
}

uint32_t DefaultFourcc(uint32_t rt_format) {
  if (rt_format == VA_RT_FORMAT_YUV420) return VA_FOURCC_NV12;
  return rt_format == VA_RT_FORMAT_RGB32 ? VA_FOURCC_BGRX : 0;
}

}  // namespace

VAStatus CreateSurfaces2(VADriverContextP context, unsigned rt_format,
                         unsigned width, unsigned height, VASurfaceID* ids,
                         unsigned count, VASurfaceAttrib* attributes,
                         unsigned attribute_count) {
  const Entry entry(context, "CreateSurfaces");
  if (entry.failed()) return entry.status;
  Driver& driver = entry.driver;
  Wish wish;
  VAStatus status = VA_STATUS_SUCCESS;
  for (unsigned i = 0; i < attribute_count && status == 0; ++i)
    status = ReadAttribute(driver, attributes[i], wish);
  if (status != VA_STATUS_SUCCESS) return status;
  const uint32_t max_size = driver.settings.max_size;
  if (width == 0 || height == 0 || width > max_size || height > max_size)
    return VA_STATUS_ERROR_RESOLUTION_NOT_SUPPORTED;
  const Format* const format =
      FindFormat(wish.fourcc != 0 ? wish.fourcc : DefaultFourcc(rt_format));
  if (format == nullptr) return VA_STATUS_ERROR_UNSUPPORTED_RT_FORMAT;
  std::vector<SurfacePtr> surfaces(count);
  for (unsigned i = 0; i < count && status == 0; ++i) {
    surfaces[i] = std::make_shared<Surface>();
    surfaces[i]->format = format;
    surfaces[i]->width = width;
    surfaces[i]->height = height;
    status = Fill(driver, wish, i, *surfaces[i]);
  }
  driver.Log("CreateSurfaces %u of %ux%u fourcc=%.4s memory=0x%x -> 0x%x",
             count, width, height,
             reinterpret_cast<const char*>(&format->fourcc), wish.memory_type,
             static_cast<unsigned>(status));
  if (status != VA_STATUS_SUCCESS) return status;
  for (unsigned i = 0; i < count; ++i) {
    ids[i] = driver.NewId(kSurfaceId);
    driver.surfaces[ids[i]] = surfaces[i];
  }
  return VA_STATUS_SUCCESS;
}

VAStatus CreateSurfaces(VADriverContextP context, int width, int height,
                        int rt_format, int count, VASurfaceID* ids) {
  return CreateSurfaces2(context, static_cast<unsigned>(rt_format),
                         static_cast<unsigned>(width),
                         static_cast<unsigned>(height), ids,
                         static_cast<unsigned>(count), nullptr, 0);
}

VAStatus DestroySurfaces(VADriverContextP context, VASurfaceID* list,
                         int count) {
  const Entry entry(context, "DestroySurfaces");
  for (int i = 0; i < count; ++i) {
    const SurfacePtr* const surface = Find(entry.driver.surfaces, list[i]);
    if (surface == nullptr) return VA_STATUS_ERROR_INVALID_SURFACE;
    if ((*surface)->busy() && !entry.driver.hung())
      entry.driver.Complain("surface 0x%x is destroyed while it is worked on",
                            list[i]);
    entry.driver.surfaces.erase(list[i]);
  }
  return entry.status;
}

VAStatus ExportSurfaceHandle(VADriverContextP context, VASurfaceID id,
                             uint32_t memory_type, uint32_t flags, void* out) {
  const Entry entry(context, "ExportSurfaceHandle");
  if (entry.failed()) return entry.status;
  const SurfacePtr* const found = Find(entry.driver.surfaces, id);
  if (found == nullptr) return VA_STATUS_ERROR_INVALID_SURFACE;
  const Surface& surface = **found;
  const Format& format = *surface.format;
  if (memory_type != VA_SURFACE_ATTRIB_MEM_TYPE_DRM_PRIME_2)
    return VA_STATUS_ERROR_UNSUPPORTED_MEMORY_TYPE;
  auto& descriptor = *static_cast<VADRMPRIMESurfaceDescriptor*>(out);
  descriptor = {};
  descriptor.fourcc = format.fourcc;
  descriptor.width = surface.width;
  descriptor.height = surface.height;
  descriptor.num_objects = 1;
  descriptor.objects[0].fd = fcntl(surface.memory[0]->fd(), F_DUPFD_CLOEXEC, 0);
  descriptor.objects[0].size = static_cast<uint32_t>(surface.memory[0]->size());
  descriptor.objects[0].drm_format_modifier = surface.modifier;
  const bool separate = (flags & VA_EXPORT_SURFACE_SEPARATE_LAYERS) != 0;
  descriptor.num_layers = separate ? format.planes : 1;
  for (uint32_t plane = 0; plane < format.planes; ++plane) {
    auto& layer = descriptor.layers[separate ? plane : 0];
    const uint32_t i = separate ? 0 : plane;
    layer.num_planes = separate ? 1 : format.planes;
    layer.drm_format = format.drm_format;
    if (separate && format.planes == 2)
      layer.drm_format = plane == 0 ? VA_FOURCC('R', '8', ' ', ' ')
                                    : VA_FOURCC('G', 'R', '8', '8');
    layer.offset[i] = surface.offset[plane];
    layer.pitch[i] = surface.pitch[plane];
  }
  return VA_STATUS_SUCCESS;
}

VAStatus SyncSurface2(VADriverContextP context, VASurfaceID id,
                      uint64_t timeout_ns) {
  Entry entry(context, "SyncSurface");
  const SurfacePtr* const surface = Find(entry.driver.surfaces, id);
  if (surface == nullptr) return VA_STATUS_ERROR_INVALID_SURFACE;
  // Waits although it fails: the client cannot do more than ask.
  const VAStatus status = WaitFor(entry, (*surface)->completion, timeout_ns);
  return entry.failed() ? entry.status : status;
}

VAStatus SyncSurface(VADriverContextP context, VASurfaceID id) {
  return SyncSurface2(context, id, VA_TIMEOUT_INFINITE);
}

VAStatus QuerySurfaceStatus(VADriverContextP context, VASurfaceID id,
                            VASurfaceStatus* status) {
  const Entry entry(context, "QuerySurfaceStatus");
  if (entry.failed()) return entry.status;
  const SurfacePtr* const surface = Find(entry.driver.surfaces, id);
  if (surface == nullptr) return VA_STATUS_ERROR_INVALID_SURFACE;
  *status = (*surface)->busy() ? VASurfaceRendering : VASurfaceReady;
  return VA_STATUS_SUCCESS;
}

}  // namespace kine::softva
