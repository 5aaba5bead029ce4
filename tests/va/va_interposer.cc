#include "tests/va/va_interposer.h"

#include <dlfcn.h>

#include <map>
#include <utility>

#include "daemon/base/check.h"

namespace kine {
namespace {

VaMutation current;
std::map<VABufferID, VABufferType> types;

// libva's own function of that name.
template <typename Function>
Function* Real(const char* name) {
  void* const found = dlsym(RTLD_NEXT, name);
  KINE_CHECK(found != nullptr);
  return reinterpret_cast<Function*>(found);
}

bool Swallows(const char* name) { return current.swallowed == name; }

}  // namespace

ScopedVaMutation::ScopedVaMutation(VaMutation mutation) {
  current = std::move(mutation);
}

ScopedVaMutation::~ScopedVaMutation() { current = VaMutation(); }

}  // namespace kine

using kine::current;

extern "C" {

VAStatus vaCreateBuffer(VADisplay display, VAContextID context,
                        VABufferType type, unsigned size, unsigned elements,
                        void* data, VABufferID* id) {
  const auto real = kine::Real<decltype(vaCreateBuffer)>("vaCreateBuffer");
  VAStatus status = VA_STATUS_SUCCESS;
  if (current.buffer != nullptr && data != nullptr) {
    auto* const bytes = static_cast<uint8_t*>(data);
    std::vector<uint8_t> changed(bytes, bytes + size_t{size} * elements);
    current.buffer(type, changed);
    status = real(display, context, type,
                  static_cast<unsigned>(changed.size()) / elements, elements,
                  changed.data(), id);
  } else {
    status = real(display, context, type, size, elements, data, id);
  }
  if (status == VA_STATUS_SUCCESS) kine::types[*id] = type;
  return status;
}

VAStatus vaCreateSurfaces(VADisplay display, unsigned format, unsigned width,
                          unsigned height, VASurfaceID* surfaces,
                          unsigned count, VASurfaceAttrib* attributes,
                          unsigned attribute_count) {
  if (current.attributes != nullptr)
    current.attributes(attributes, attribute_count);
  return kine::Real<decltype(vaCreateSurfaces)>("vaCreateSurfaces")(
      display, format, width, height, surfaces, count, attributes,
      attribute_count);
}

VAStatus vaBeginPicture(VADisplay display, VAContextID context,
                        VASurfaceID target) {
  if (current.target != nullptr) target = current.target(target);
  return kine::Real<decltype(vaBeginPicture)>("vaBeginPicture")(
      display, context, target);
}

VAStatus vaRenderPicture(VADisplay display, VAContextID context,
                         VABufferID* buffers, int count) {
  std::vector<VABufferID> ids(buffers, buffers + count);
  if (current.render != nullptr) {
    std::vector<kine::VaMutation::Rendered> rendered;
    for (const VABufferID id : ids) rendered.push_back({id, kine::types[id]});
    current.render(rendered);
    ids.clear();
    for (const auto& one : rendered) ids.push_back(one.id);
  }
  return kine::Real<decltype(vaRenderPicture)>("vaRenderPicture")(
      display, context, ids.data(), static_cast<int>(ids.size()));
}

VAStatus vaEndPicture(VADisplay display, VAContextID context) {
  if (kine::Swallows("vaEndPicture")) return VA_STATUS_SUCCESS;
  return kine::Real<decltype(vaEndPicture)>("vaEndPicture")(display, context);
}

VAStatus vaMapBuffer(VADisplay display, VABufferID id, void** data) {
  const VAStatus status =
      kine::Real<decltype(vaMapBuffer)>("vaMapBuffer")(display, id, data);
  if (status == VA_STATUS_SUCCESS && current.segments != nullptr &&
      kine::types[id] == VAEncCodedBufferType)
    current.segments(static_cast<VACodedBufferSegment*>(*data));
  return status;
}

VAStatus vaUnmapBuffer(VADisplay display, VABufferID id) {
  if (kine::Swallows("vaUnmapBuffer")) return VA_STATUS_SUCCESS;
  return kine::Real<decltype(vaUnmapBuffer)>("vaUnmapBuffer")(display, id);
}

VAStatus vaPutImage(VADisplay display, VASurfaceID surface, VAImageID image,
                    int from_x, int from_y, unsigned from_width,
                    unsigned from_height, int to_x, int to_y, unsigned to_width,
                    unsigned to_height) {
  if (kine::Swallows("vaPutImage")) return VA_STATUS_SUCCESS;
  return kine::Real<decltype(vaPutImage)>("vaPutImage")(
      display, surface, image, from_x, from_y, from_width, from_height, to_x,
      to_y, to_width, to_height);
}

VAStatus vaDestroyBuffer(VADisplay display, VABufferID id) {
  if (kine::Swallows("vaDestroyBuffer")) return VA_STATUS_SUCCESS;
  return kine::Real<decltype(vaDestroyBuffer)>("vaDestroyBuffer")(display, id);
}

VAStatus vaDestroyImage(VADisplay display, VAImageID id) {
  if (kine::Swallows("vaDestroyImage")) return VA_STATUS_SUCCESS;
  return kine::Real<decltype(vaDestroyImage)>("vaDestroyImage")(display, id);
}

VAStatus vaDestroySurfaces(VADisplay display, VASurfaceID* ids, int count) {
  if (kine::Swallows("vaDestroySurfaces")) return VA_STATUS_SUCCESS;
  return kine::Real<decltype(vaDestroySurfaces)>("vaDestroySurfaces")(
      display, ids, count);
}

VAStatus vaDestroyContext(VADisplay display, VAContextID id) {
  if (kine::Swallows("vaDestroyContext")) return VA_STATUS_SUCCESS;
  return kine::Real<decltype(vaDestroyContext)>("vaDestroyContext")(display,
                                                                    id);
}

VAStatus vaDestroyConfig(VADisplay display, VAConfigID id) {
  if (kine::Swallows("vaDestroyConfig")) return VA_STATUS_SUCCESS;
  return kine::Real<decltype(vaDestroyConfig)>("vaDestroyConfig")(display, id);
}

}  // extern "C"
