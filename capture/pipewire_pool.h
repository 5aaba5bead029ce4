// The buffers of one PipeWire stream and how their pictures are lent out.
//
// Thread: the loop's; only a Frame's release closure may run elsewhere. `loop`
// must outlive every Frame.
//
// PipeWire unmaps a buffer's memory when it takes the buffer away, whoever is
// still reading. So each buffer's memory is mapped a second time when it is
// added, and a lent Frame keeps that mapping.
#pragma once

#include <pipewire/stream.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "capture/frame.h"
#include "capture/pipewire_buffers.h"
#include "daemon/base/loop.h"

namespace kine {

// Read-only; of pages that somebody else mapped as shared, and stays when they
// unmap theirs.
class SecondMapping {
 public:
  // Nothing when the pages are not shared.
  static std::optional<SecondMapping> Of(const void* data, size_t size);
  ~SecondMapping();
  SecondMapping(SecondMapping&& other) noexcept;
  SecondMapping& operator=(SecondMapping&&) = delete;

  const std::byte* data() const { return data_; }

 private:
  SecondMapping(void* base, size_t length, const std::byte* data)
      : base_(base), length_(length), data_(data) {}

  void* base_;
  size_t length_;
  const std::byte* data_;
};

// Private pictures for sources with too few buffers to lend. Each is brought up
// to date by the rows and columns that changed since it was last used.
class PictureCopies {
 public:
  explicit PictureCopies(Loop& loop) : loop_(loop) {}

  // Copies `from` (planes of `format`, in the source's buffer) into a free
  // picture and lends that. Nothing when all are lent; `damage`, relative to
  // `crop`, must then be part of the next call's. When format or crop become
  // others, `damage` must be full.
  std::optional<Frame> Copy(const VideoFormat& format, const Rect& crop,
                            const Damage& damage, absl::Span<const Plane> from);

 private:
  struct Picture {
    std::unique_ptr<std::byte[]> memory;
    std::array<Plane, Frame::kPlanesMax> planes;
    std::array<std::byte*, Frame::kPlanesMax> bytes{};
    Damage stale = Damage::Full();
    bool lent = false;
    uint64_t id = 0;
  };
  std::shared_ptr<Picture> TakeFree(const VideoFormat& format);

  Loop& loop_;
  VideoFormat format_;
  uint64_t next_id_ = 0;
  std::vector<std::shared_ptr<Picture>> pictures_;
};

class BufferPool {
 public:
  // `requeue` gives a buffer back to the stream.
  BufferPool(Loop& loop, absl::AnyInvocable<void(pw_buffer*)> requeue);
  ~BufferPool();

  // UNIMPLEMENTED for memory that cannot be read (DMA-BUF), UNAVAILABLE where
  // there is none.
  absl::Status Add(pw_buffer* buffer);
  // A lent one stays readable and is not given back any more.
  void Remove(pw_buffer* buffer);

  // True when pictures are copied instead of lent.
  bool copies() const;

  // The picture that `reading` found in `buffer`, which is given back to the
  // stream at once or when the Frame is. Nothing (and the buffer is back) when
  // all copies are out. Sets the Frame's format, crop, transform, planes and
  // buffer_id.
  std::optional<Frame> Lend(pw_buffer* buffer, const VideoFormat& format,
                            const BufferReading& reading, const Damage& damage);

 private:
  struct Slot {
    BufferPool* pool = nullptr;  // Null once the buffer was taken away.
    pw_buffer* buffer = nullptr;
    uint64_t id = 0;
    std::vector<SecondMapping> mappings;  // One a data; empty: not lendable.
  };

  Loop& loop_;
  absl::AnyInvocable<void(pw_buffer*)> requeue_;
  std::vector<std::shared_ptr<Slot>> slots_;
  uint64_t next_id_ = 0;
  PictureCopies copies_;
};

}  // namespace kine
