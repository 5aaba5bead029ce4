// What libva calls first: fills the table of entry points.
#include <va/va_backend.h>
#include <va/va_backend_vpp.h>

#include "tests/softva/driver.h"
#include "tests/softva/entries.h"

// The version of the headers that this was built with: a newer libva looks for
// older ones too, an older libva must not find a newer table.
#define SOFTVA_NAME_OF(major, minor) __vaDriverInit_##major##_##minor
#define SOFTVA_NAME(major, minor) SOFTVA_NAME_OF(major, minor)

namespace kine::softva {
namespace {

VAStatus Terminate(VADriverContextP context) {
  Driver* const driver = &Driver::Of(context);
  VAStatus status = VA_STATUS_SUCCESS;
  {
    const std::lock_guard<std::mutex> lock(driver->mutex);
    status = driver->CountCall("Terminate");
  }
  delete driver;
  context->pDriverData = nullptr;
  return status;
}

template <typename... Arguments>
VAStatus Unimplemented(VADriverContextP, Arguments...) {
  return VA_STATUS_ERROR_UNIMPLEMENTED;
}

VAStatus QuerySubpictureFormats(VADriverContextP, VAImageFormat*, unsigned*,
                                unsigned* count) {
  *count = 0;
  return VA_STATUS_SUCCESS;
}

VAStatus QueryDisplayAttributes(VADriverContextP, VADisplayAttribute*,
                                int* count) {
  *count = 0;
  return VA_STATUS_SUCCESS;
}

VAStatus IgnoreDisplayAttributes(VADriverContextP, VADisplayAttribute*, int) {
  return VA_STATUS_SUCCESS;
}

void FillObjects(VADriverVTable& table) {
  table.vaTerminate = Terminate;
  table.vaQueryConfigProfiles = QueryConfigProfiles;
  table.vaQueryConfigEntrypoints = QueryConfigEntrypoints;
  table.vaQueryConfigAttributes = QueryConfigAttributes;
  table.vaGetConfigAttributes = GetConfigAttributes;
  table.vaCreateConfig = CreateConfig;
  table.vaDestroyConfig = DestroyConfig;
  table.vaCreateSurfaces = CreateSurfaces;
  table.vaCreateSurfaces2 = CreateSurfaces2;
  table.vaDestroySurfaces = DestroySurfaces;
  table.vaQuerySurfaceAttributes = QuerySurfaceAttributes;
  table.vaExportSurfaceHandle = ExportSurfaceHandle;
  table.vaQuerySurfaceStatus = QuerySurfaceStatus;
  table.vaCreateContext = CreateContext;
  table.vaDestroyContext = DestroyContext;
  table.vaCreateBuffer = CreateBuffer;
  table.vaBufferSetNumElements = BufferSetNumElements;
  table.vaBufferInfo = BufferInfo;
  table.vaMapBuffer = MapBuffer;
  table.vaUnmapBuffer = UnmapBuffer;
  table.vaDestroyBuffer = DestroyBuffer;
  table.vaBeginPicture = BeginPicture;
  table.vaRenderPicture = RenderPicture;
  table.vaEndPicture = EndPicture;
  table.vaSyncSurface = SyncSurface;
  table.vaSyncSurface2 = SyncSurface2;
  table.vaSyncBuffer = SyncBuffer;
}

void FillImages(VADriverVTable& table) {
  table.vaQueryImageFormats = QueryImageFormats;
  table.vaCreateImage = CreateImage;
  table.vaDeriveImage = DeriveImage;
  table.vaDestroyImage = DestroyImage;
  table.vaGetImage = GetImage;
  table.vaPutImage = PutImage;
  table.vaSetImagePalette = Unimplemented;
  table.vaQuerySubpictureFormats = QuerySubpictureFormats;
  table.vaCreateSubpicture = Unimplemented;
  table.vaDestroySubpicture = Unimplemented;
  table.vaSetSubpictureImage = Unimplemented;
  table.vaSetSubpictureChromakey = Unimplemented;
  table.vaSetSubpictureGlobalAlpha = Unimplemented;
  table.vaAssociateSubpicture = Unimplemented;
  table.vaDeassociateSubpicture = Unimplemented;
  table.vaQueryDisplayAttributes = QueryDisplayAttributes;
  table.vaGetDisplayAttributes = IgnoreDisplayAttributes;
  table.vaSetDisplayAttributes = IgnoreDisplayAttributes;
}

VAStatus Initialize(VADriverContextP context) {
  auto driver = std::make_unique<Driver>();
  {
    const std::lock_guard<std::mutex> lock(driver->mutex);
    const VAStatus status = driver->CountCall("Initialize");
    if (status != VA_STATUS_SUCCESS) return status;
  }
  context->version_major = VA_MAJOR_VERSION;
  context->version_minor = VA_MINOR_VERSION;
  context->max_profiles = 4;
  context->max_entrypoints = 3;
  context->max_attributes = 64;
  context->max_image_formats = static_cast<int>(Formats().size());
  context->max_subpic_formats = 1;
  context->max_display_attributes = 0;
  context->str_vendor = driver->settings.vendor.c_str();
  FillObjects(*context->vtable);
  FillImages(*context->vtable);
  VADriverVTableVPP& processing = *context->vtable_vpp;
  processing.vaQueryVideoProcFilters = QueryVideoProcFilters;
  processing.vaQueryVideoProcFilterCaps = QueryVideoProcFilterCaps;
  processing.vaQueryVideoProcPipelineCaps = QueryVideoProcPipelineCaps;
  context->pDriverData = driver.release();
  return VA_STATUS_SUCCESS;
}

}  // namespace
}  // namespace kine::softva

extern "C" __attribute__((visibility("default"))) VAStatus SOFTVA_NAME(
    VA_MAJOR_VERSION, VA_MINOR_VERSION)(VADriverContextP context) {
  return kine::softva::Initialize(context);
}
