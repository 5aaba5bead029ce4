// The entry points, as libva calls them.
#pragma once

#include <va/va_backend.h>
#include <va/va_backend_vpp.h>

namespace kine::softva {

// config.cc
VAStatus QueryConfigProfiles(VADriverContextP, VAProfile*, int*);
VAStatus QueryConfigEntrypoints(VADriverContextP, VAProfile, VAEntrypoint*,
                                int*);
VAStatus GetConfigAttributes(VADriverContextP, VAProfile, VAEntrypoint,
                             VAConfigAttrib*, int);
VAStatus CreateConfig(VADriverContextP, VAProfile, VAEntrypoint,
                      VAConfigAttrib*, int, VAConfigID*);
VAStatus DestroyConfig(VADriverContextP, VAConfigID);
VAStatus QueryConfigAttributes(VADriverContextP, VAConfigID, VAProfile*,
                               VAEntrypoint*, VAConfigAttrib*, int*);
VAStatus QuerySurfaceAttributes(VADriverContextP, VAConfigID, VASurfaceAttrib*,
                                unsigned*);

// surfaces.cc
VAStatus CreateSurfaces(VADriverContextP, int, int, int, int, VASurfaceID*);
VAStatus CreateSurfaces2(VADriverContextP, unsigned, unsigned, unsigned,
                         VASurfaceID*, unsigned, VASurfaceAttrib*, unsigned);
VAStatus DestroySurfaces(VADriverContextP, VASurfaceID*, int);
VAStatus ExportSurfaceHandle(VADriverContextP, VASurfaceID, uint32_t, uint32_t,
                             void*);
VAStatus SyncSurface(VADriverContextP, VASurfaceID);
VAStatus SyncSurface2(VADriverContextP, VASurfaceID, uint64_t);
VAStatus QuerySurfaceStatus(VADriverContextP, VASurfaceID, VASurfaceStatus*);

// buffers.cc
VAStatus CreateBuffer(VADriverContextP, VAContextID, VABufferType, unsigned,
                      unsigned, void*, VABufferID*);
VAStatus BufferSetNumElements(VADriverContextP, VABufferID, unsigned);
VAStatus BufferInfo(VADriverContextP, VABufferID, VABufferType*, unsigned*,
                    unsigned*);
VAStatus MapBuffer(VADriverContextP, VABufferID, void**);
VAStatus UnmapBuffer(VADriverContextP, VABufferID);
VAStatus DestroyBuffer(VADriverContextP, VABufferID);
VAStatus SyncBuffer(VADriverContextP, VABufferID, uint64_t);

// pictures.cc
VAStatus CreateContext(VADriverContextP, VAConfigID, int, int, int,
                       VASurfaceID*, int, VAContextID*);
VAStatus DestroyContext(VADriverContextP, VAContextID);
VAStatus BeginPicture(VADriverContextP, VAContextID, VASurfaceID);
VAStatus RenderPicture(VADriverContextP, VAContextID, VABufferID*, int);
VAStatus EndPicture(VADriverContextP, VAContextID);

// images.cc
VAStatus QueryImageFormats(VADriverContextP, VAImageFormat*, int*);
VAStatus CreateImage(VADriverContextP, VAImageFormat*, int, int, VAImage*);
VAStatus DeriveImage(VADriverContextP, VASurfaceID, VAImage*);
VAStatus DestroyImage(VADriverContextP, VAImageID);
VAStatus GetImage(VADriverContextP, VASurfaceID, int, int, unsigned, unsigned,
                  VAImageID);
VAStatus PutImage(VADriverContextP, VASurfaceID, VAImageID, int, int, unsigned,
                  unsigned, int, int, unsigned, unsigned);

// video_processing.cc
VAStatus QueryVideoProcFilters(VADriverContextP, VAContextID, VAProcFilterType*,
                               unsigned*);
VAStatus QueryVideoProcFilterCaps(VADriverContextP, VAContextID,
                                  VAProcFilterType, void*, unsigned*);
VAStatus QueryVideoProcPipelineCaps(VADriverContextP, VAContextID, VABufferID*,
                                    unsigned, VAProcPipelineCaps*);

}  // namespace kine::softva
