#include "tests/softva/import.h"

#include <algorithm>
#include <cinttypes>

namespace kine::softva {
namespace {

constexpr uint64_t kNoModifier = 0x00ffffffffffffff;

bool TakesModifier(const Settings& settings, uint64_t modifier) {
  return std::count(settings.modifiers.begin(), settings.modifiers.end(),
                    modifier) > 0;
}

VAStatus Allocate(Driver& driver, const Wish& wish, Surface& surface) {
  if (wish.modifiers != nullptr) {
    const uint64_t* const first = wish.modifiers->modifiers;
    const uint64_t* const last = first + wish.modifiers->num_modifiers;
    const uint64_t* const found = std::find_if(first, last, [&](uint64_t one) {
      return TakesModifier(driver.settings, one);
    });
    if (found == last) return VA_STATUS_ERROR_ALLOCATION_FAILED;
    surface.modifier = *found;
  }
  const Format& format = *surface.format;
  const uint32_t rows = RoundUp(surface.height, 16);
  surface.pitch[0] = surface.pitch[1] = PitchOf(format, surface.width);
  surface.offset[1] = surface.pitch[0] * rows;
  const size_t size =
      size_t{surface.pitch[0]} * (format.rgb() ? rows : rows + rows / 2);
  surface.memory[0] = surface.memory[1] = Memory::Allocate(size);
  return surface.memory[0] != nullptr ? VA_STATUS_SUCCESS
                                      : VA_STATUS_ERROR_ALLOCATION_FAILED;
}

// Whether the memory holds the plane.
VAStatus CheckPlane(const Surface& surface, uint32_t plane) {
  const uint64_t rows = plane > 0 ? (surface.height + 1) / 2 : surface.height;
  const uint64_t line =
      uint64_t{plane > 0 ? RoundUp(surface.width, 2) : surface.width} *
      surface.format->bytes_per_pixel;
  const uint64_t end =
      surface.offset[plane] + (rows - 1) * surface.pitch[plane] + line;
  return surface.pitch[plane] >= line && end <= surface.memory[plane]->size()
             ? VA_STATUS_SUCCESS
             : VA_STATUS_ERROR_INVALID_PARAMETER;
}

VAStatus ImportPrime(const Wish& wish, uint32_t index, Surface& surface) {
  const auto& external =
      *static_cast<const VASurfaceAttribExternalBuffers*>(wish.descriptor);
  if (index >= external.num_buffers ||
      external.num_planes < surface.format->planes)
    return VA_STATUS_ERROR_INVALID_PARAMETER;
  surface.memory[0] = surface.memory[1] = Memory::Import(
      static_cast<int>(external.buffers[index]), external.data_size);
  if (surface.memory[0] == nullptr) return VA_STATUS_ERROR_ALLOCATION_FAILED;
  VAStatus status = VA_STATUS_SUCCESS;
  for (uint32_t i = 0; i < surface.format->planes && status == 0; ++i) {
    surface.pitch[i] = external.pitches[i];
    surface.offset[i] = external.offsets[i];
    status = CheckPlane(surface, i);
  }
  return status;
}

VAStatus ImportPlane(Driver& driver,
                     const VADRMPRIMESurfaceDescriptor& descriptor,
                     uint32_t layer, uint32_t index, uint32_t plane,
                     Surface& surface) {
  const uint32_t object = descriptor.layers[layer].object_index[index];
  if (object >= descriptor.num_objects)
    return VA_STATUS_ERROR_INVALID_PARAMETER;
  surface.modifier = descriptor.objects[object].drm_format_modifier;
  if (!TakesModifier(driver.settings, surface.modifier)) {
    driver.Log("CreateSurfaces refuses modifier 0x%" PRIx64, surface.modifier);
    return VA_STATUS_ERROR_UNSUPPORTED_MEMORY_TYPE;
  }
  const auto& memory = descriptor.objects[object];
  surface.memory[plane] = Memory::Import(memory.fd, memory.size);
  if (surface.memory[plane] == nullptr)
    return VA_STATUS_ERROR_ALLOCATION_FAILED;
  surface.pitch[plane] = descriptor.layers[layer].pitch[index];
  surface.offset[plane] = descriptor.layers[layer].offset[index];
  return CheckPlane(surface, plane);
}

VAStatus ImportPrime2(Driver& driver, const Wish& wish, Surface& surface) {
  const auto& descriptor =
      *static_cast<const VADRMPRIMESurfaceDescriptor*>(wish.descriptor);
  if (descriptor.width != surface.width ||
      descriptor.height != surface.height) {
    driver.Complain("the descriptor is %ux%u, the surface %ux%u",
                    descriptor.width, descriptor.height, surface.width,
                    surface.height);
    return VA_STATUS_ERROR_INVALID_PARAMETER;
  }
  if (descriptor.fourcc != surface.format->fourcc) {
    driver.Complain("the descriptor's fourcc is not the surface's");
    return VA_STATUS_ERROR_INVALID_PARAMETER;
  }
  if (descriptor.num_layers == 1 &&
      FindDrmFormat(descriptor.layers[0].drm_format) != surface.format) {
    driver.Complain("the layer's drm_format is not the descriptor's fourcc");
    return VA_STATUS_ERROR_INVALID_PARAMETER;
  }
  uint32_t plane = 0;
  for (uint32_t layer = 0; layer < std::min(descriptor.num_layers, 4u);
       ++layer) {
    for (uint32_t i = 0; i < descriptor.layers[layer].num_planes; ++i) {
      if (plane >= surface.format->planes)
        return VA_STATUS_ERROR_INVALID_PARAMETER;
      const VAStatus status =
          ImportPlane(driver, descriptor, layer, i, plane++, surface);
      if (status != VA_STATUS_SUCCESS) return status;
    }
  }
  return plane == surface.format->planes ? VA_STATUS_SUCCESS
                                         : VA_STATUS_ERROR_INVALID_PARAMETER;
}

}  // namespace

VAStatus Fill(Driver& driver, const Wish& wish, uint32_t index,
              Surface& surface) {
  if (wish.memory_type == VA_SURFACE_ATTRIB_MEM_TYPE_VA)
    return Allocate(driver, wish, surface);
  if (wish.descriptor == nullptr) return VA_STATUS_ERROR_INVALID_PARAMETER;
  surface.imported = true;
  if (wish.memory_type == VA_SURFACE_ATTRIB_MEM_TYPE_DRM_PRIME) {
    if (!TakesModifier(driver.settings, kNoModifier))
      return VA_STATUS_ERROR_UNSUPPORTED_MEMORY_TYPE;
    return ImportPrime(wish, index, surface);
  }
  if (wish.memory_type == VA_SURFACE_ATTRIB_MEM_TYPE_DRM_PRIME_2 && index == 0)
    return ImportPrime2(driver, wish, surface);
  return VA_STATUS_ERROR_UNSUPPORTED_MEMORY_TYPE;
}

}  // namespace kine::softva
