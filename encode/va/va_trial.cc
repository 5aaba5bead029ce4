// Which dmabufs the driver takes: tried, because libva has no question for it.
#include <drm_fourcc.h>
#include <va/va_drmcommon.h>

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <utility>

#include "daemon/base/fd.h"
#include "daemon/base/status.h"
#include "encode/va/va_converter.h"
#include "encode/va/va_status.h"
#include "encode/va/va_sync.h"

namespace kine {
namespace {

// Above the smallest size of any converter, below what costs time.
constexpr int kSide = 256;

// A surface of the driver as a frame, the way a source would lend it.
struct Exported {
  Frame frame;
  std::vector<UniqueFd> fds;  // Those that the frame borrows.
};

absl::StatusOr<Exported> Export(VADisplay display, VASurfaceID surface,
                                uint32_t drm_fourcc) {
  VADRMPRIMESurfaceDescriptor description = {};
  KINE_RETURN_IF_ERROR(VaError(
      vaExportSurfaceHandle(
          display, surface, VA_SURFACE_ATTRIB_MEM_TYPE_DRM_PRIME_2,
          VA_EXPORT_SURFACE_READ_WRITE | VA_EXPORT_SURFACE_COMPOSED_LAYERS,
          &description),
      "vaExportSurfaceHandle"));
  Exported exported;
  const uint32_t objects =
      std::min<uint32_t>(description.num_objects, Frame::kPlanesMax);
  for (uint32_t i = 0; i < objects; ++i) {
    exported.fds.emplace_back(description.objects[i].fd);
  }
  const auto& layer = description.layers[0];
  if (description.num_layers != 1 || layer.num_planes > Frame::kPlanesMax ||
      objects == 0) {
    return absl::UnimplementedError("an export in several layers");
  }
  Frame& frame = exported.frame;
  frame.format = {drm_fourcc, description.objects[0].drm_format_modifier, kSide,
                  kSide};
  frame.crop = {0, 0, kSide, kSide};
  frame.plane_count = static_cast<int>(layer.num_planes);
  for (uint32_t i = 0; i < layer.num_planes; ++i) {
    if (layer.object_index[i] >= objects) {
      return absl::UnimplementedError("an export with a plane of no object");
    }
    frame.planes[i].fd = exported.fds[layer.object_index[i]].get();
    frame.planes[i].offset = layer.offset[i];
    frame.planes[i].stride = layer.pitch[i];
  }
  return exported;
}

// The modifier with which a surface like this goes out, comes back in and is
// converted; nothing when it does not.
absl::StatusOr<std::optional<uint64_t>> Try(
    VADisplay display, const VaSync& sync, VASurfaceID target,
    uint32_t drm_fourcc, std::span<VASurfaceAttrib> attributes) {
  const auto surface = VaSurface::Create(
      display, RtFormatOf(*VaFourccOf(drm_fourcc)), kSide, kSide, attributes);
  if (!surface.ok()) return std::nullopt;
  auto exported = Export(display, surface->id(), drm_fourcc);
  if (!exported.ok()) return std::nullopt;
  // Its own converter: the imports end with it.
  auto converter = VaConverter::Create(display, kSide, kSide);
  if (!converter.ok()) return std::nullopt;
  const absl::Status converted = (*converter)->Convert(exported->frame, target);
  const absl::Status synced = sync.Surface(target);
  if (absl::IsDeadlineExceeded(synced)) {
    return WithContext("converting a dmabuf", synced);
  }
  if (!converted.ok() || !synced.ok()) return std::nullopt;
  return exported->frame.format.modifier;
}

}  // namespace

absl::StatusOr<std::vector<DmabufFormat>> TryImports(VADisplay display,
                                                     absl::Duration limit) {
  std::vector<DmabufFormat> formats;
  const auto target =
      VaSurface::Allocate(display, VA_FOURCC_NV12, kSide, kSide);
  if (!target.ok()) return formats;
  const VaSync sync(display, limit);
  uint64_t linear = DRM_FORMAT_MOD_LINEAR;
  VADRMFormatModifierList only_linear = {1, &linear};
  VASurfaceAttrib modifiers = {};
  modifiers.type = VASurfaceAttribDRMFormatModifiers;
  modifiers.flags = VA_SURFACE_ATTRIB_SETTABLE;
  modifiers.value.type = VAGenericValueTypePointer;
  modifiers.value.value.p = &only_linear;
  for (const uint32_t drm_fourcc :
       {DRM_FORMAT_XRGB8888, DRM_FORMAT_ARGB8888, DRM_FORMAT_XBGR8888,
        DRM_FORMAT_ABGR8888, DRM_FORMAT_NV12}) {
    std::array<VASurfaceAttrib, 2> attributes = {
        VaIntegerAttribute(VASurfaceAttribPixelFormat, *VaFourccOf(drm_fourcc)),
        modifiers};
    const std::span<VASurfaceAttrib> all(attributes);
    DmabufFormat format;
    format.fourcc = drm_fourcc;
    KINE_ASSIGN_OR_RETURN(const auto own, Try(display, sync, target->id(),
                                              drm_fourcc, all.first(1)));
    std::optional<uint64_t> second = own;
    if (own.has_value() && *own != DRM_FORMAT_MOD_LINEAR) {
      format.modifiers.push_back(*own);
    }
    if (own != DRM_FORMAT_MOD_LINEAR) {
      KINE_ASSIGN_OR_RETURN(second,
                            Try(display, sync, target->id(), drm_fourcc, all));
    }
    if (second == DRM_FORMAT_MOD_LINEAR) {
      format.modifiers.push_back(DRM_FORMAT_MOD_LINEAR);
    }
    if (!format.modifiers.empty()) formats.push_back(std::move(format));
  }
  return formats;
}

}  // namespace kine
