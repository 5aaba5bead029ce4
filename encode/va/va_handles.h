// One move-only class for each noun of libva: made by Create, destroyed once.
// They hold their VADisplay as it is; the VaDisplay must outlive them. The
// order to destroy in: mappings, buffers and images, surfaces, contexts,
// configs, display; members declared in the opposite order do that.
//
// Encode thread only.
#pragma once

#include <va/va.h>

#include <cstdint>
#include <span>
#include <utility>

#include "absl/status/statusor.h"

namespace kine {

// Owns `Id`, which Destroy ends. Whether that fails interests nobody: there is
// nothing left to be done about it.
template <typename Id, VAStatus (*Destroy)(VADisplay, Id)>
class VaHandle {
 public:
  VaHandle() = default;
  VaHandle(VADisplay display, Id id) : display_(display), id_(id) {}
  ~VaHandle() { Reset(); }
  VaHandle(VaHandle&& other) noexcept
      : display_(other.display_),
        id_(std::exchange(other.id_, VA_INVALID_ID)) {}
  VaHandle& operator=(VaHandle&& other) noexcept {
    if (this != &other) {
      Reset();
      display_ = other.display_;
      id_ = std::exchange(other.id_, VA_INVALID_ID);
    }
    return *this;
  }

  Id id() const { return id_; }
  bool valid() const { return id_ != VA_INVALID_ID; }
  void Reset() {
    if (valid()) (void)Destroy(display_, std::exchange(id_, VA_INVALID_ID));
  }

 protected:
  VADisplay display_ = nullptr;

 private:
  Id id_ = VA_INVALID_ID;
};

inline VAStatus VaDestroyOneSurface(VADisplay display, VASurfaceID id) {
  return vaDestroySurfaces(display, &id, 1);
}

class VaConfig : public VaHandle<VAConfigID, vaDestroyConfig> {
 public:
  using VaHandle::VaHandle;
  static absl::StatusOr<VaConfig> Create(VADisplay display, VAProfile profile,
                                         VAEntrypoint entrypoint,
                                         std::span<VAConfigAttrib> attributes);
};

class VaSurface : public VaHandle<VASurfaceID, VaDestroyOneSurface> {
 public:
  using VaHandle::VaHandle;
  // One surface; `attributes` as vaCreateSurfaces takes them.
  static absl::StatusOr<VaSurface> Create(
      VADisplay display, uint32_t rt_format, int width, int height,
      std::span<VASurfaceAttrib> attributes);
  // One in the driver's own memory, of a VA_FOURCC_*.
  static absl::StatusOr<VaSurface> Allocate(VADisplay display, uint32_t fourcc,
                                            int width, int height);
};

class VaContext : public VaHandle<VAContextID, vaDestroyContext> {
 public:
  using VaHandle::VaHandle;
  // `targets`: for old drivers, which want to know them now.
  static absl::StatusOr<VaContext> Create(VADisplay display, VAConfigID config,
                                          int width, int height,
                                          std::span<VASurfaceID> targets);
};

class VaBuffer : public VaHandle<VABufferID, vaDestroyBuffer> {
 public:
  using VaHandle::VaHandle;
  // A copy of `size` bytes at `data`, or room for as many when that is null.
  static absl::StatusOr<VaBuffer> Create(VADisplay display, VAContextID context,
                                         VABufferType type, size_t size,
                                         const void* data);
};

// A buffer's memory, mapped for as long as this lives.
class VaMapping : public VaHandle<VABufferID, vaUnmapBuffer> {
 public:
  using VaHandle::VaHandle;
  static absl::StatusOr<VaMapping> Create(VADisplay display, VABufferID buffer);
  void* data() const { return data_; }

 private:
  void* data_ = nullptr;
};

class VaImageHandle : public VaHandle<VAImageID, vaDestroyImage> {
 public:
  using VaHandle::VaHandle;
  // The surface's own memory. UNIMPLEMENTED when it is no plain NV12.
  static absl::StatusOr<VaImageHandle> DeriveNv12(VADisplay display,
                                                  VASurfaceID surface);
  // Memory of its own, for vaPutImage.
  static absl::StatusOr<VaImageHandle> CreateNv12(VADisplay display, int width,
                                                  int height);
  const VAImage& image() const { return image_; }

 private:
  VAImage image_ = {};
};

// VA_RT_FORMAT_* for a VA_FOURCC_*.
uint32_t RtFormatOf(uint32_t fourcc);

// An integer attribute to be set.
VASurfaceAttrib VaIntegerAttribute(VASurfaceAttribType type, uint32_t value);

}  // namespace kine
