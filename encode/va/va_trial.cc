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
// converted.
std::optional<uint64_t> Try(VADisplay display, VASurfaceID target,
                            uint32_t drm_fourcc,
                            std::span<VASurfaceAttrib> attributes,
                            uint32_t rt_format) {
  const auto surface =
      VaSurface::Create(display, rt_format, kSide, kSide, attributes);
  if (!surface.ok()) return std::nullopt;
  auto exported = Export(display, surface->id(), drm_fourcc);
  if (!exported.ok()) return std::nullopt;
  // Its own converter: the imports end with it.
  auto converter = VaConverter::Create(display, kSide, kSide);
  if (!converter.ok()) return std::nullopt;
  const absl::Status converted = (*converter)->Convert(exported->frame, target);
  const VAStatus synced = vaSyncSurface(display, target);
  if (!converted.ok() || synced != VA_STATUS_SUCCESS) return std::nullopt;
  return exported->frame.format.modifier;
}

}  // namespace

std::vector<DmabufFormat> TryImports(VADisplay display) {
  const auto target =
      VaSurface::Allocate(display, VA_FOURCC_NV12, kSide, kSide);
  if (!target.ok()) return {};
  uint64_t linear = DRM_FORMAT_MOD_LINEAR;
  VADRMFormatModifierList only_linear = {1, &linear};
  std::vector<DmabufFormat> formats;
  for (const uint32_t drm_fourcc :
       {DRM_FORMAT_XRGB8888, DRM_FORMAT_ARGB8888, DRM_FORMAT_XBGR8888,
        DRM_FORMAT_ABGR8888, DRM_FORMAT_NV12}) {
    const uint32_t fourcc = *VaFourccOf(drm_fourcc);
    VASurfaceAttrib modifiers = {};
    modifiers.type = VASurfaceAttribDRMFormatModifiers;
    modifiers.flags = VA_SURFACE_ATTRIB_SETTABLE;
    modifiers.value.type = VAGenericValueTypePointer;
    modifiers.value.value.p = &only_linear;
    std::array<VASurfaceAttrib, 2> attributes = {
        VaIntegerAttribute(VASurfaceAttribPixelFormat, fourcc), modifiers};
    const std::span<VASurfaceAttrib> all(attributes);
    DmabufFormat format;
    format.fourcc = drm_fourcc;
    const auto own = Try(display, target->id(), drm_fourcc, all.first(1),
                         RtFormatOf(fourcc));
    if (own.has_value() && *own != DRM_FORMAT_MOD_LINEAR) {
      format.modifiers.push_back(*own);
    }
    const bool is_linear = own == DRM_FORMAT_MOD_LINEAR;
    if (is_linear || Try(display, target->id(), drm_fourcc, all,
                         RtFormatOf(fourcc)) == DRM_FORMAT_MOD_LINEAR) {
      format.modifiers.push_back(DRM_FORMAT_MOD_LINEAR);
    }
    if (!format.modifiers.empty()) formats.push_back(std::move(format));
  }
  return formats;
}

}  // namespace kine
