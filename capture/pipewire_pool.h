// The buffers of one PipeWire stream and how their pictures are lent out.
//
// Thread: the loop's; only a Frame's release closure may run elsewhere. `loop`
// must outlive every Frame.
//
// PipeWire unmaps a buffer's memory when it takes the buffer away, whoever is
// still reading. So each buffer's memory is mapped a second time when it is
// added, and a lent Frame keeps that mapping. Of DMA-BUFs, which are not
// mapped, the descriptors are duplicated for the same reason.
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
#include "capture/pipewire_params.h"
#include "daemon/base/fd.h"
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
  std::vector<std::shared_ptr<Picture>> pictures_;
};

class BufferPool {
 public:
  // `requeue` gives a buffer back to the stream.
  BufferPool(Loop& loop, absl::AnyInvocable<void(pw_buffer*)> requeue);
  ~BufferPool();

  // UNIMPLEMENTED for DMA-BUFs where `format` has none, UNAVAILABLE where there
  // is no memory, or memory in a layout that only a GPU reads.
  absl::Status Add(pw_buffer* buffer, const StreamFormat& format);
  // A lent one stays readable and is not given back any more.
  void Remove(pw_buffer* buffer);

  // What a buffer of this pool shows.
  BufferReading Read(pw_buffer* buffer, const VideoFormat& format) const;

  // True when pictures are copied instead of lent. DMA-BUFs never are: a GPU
  // reads them soon, and a source with few of them only waits for that.
  bool copies() const;

  // The picture that `reading` found in `buffer`, which is given back to the
  // stream at once or when the Frame is. Nothing (and the buffer is back) when
  // all copies are out. Sets the Frame's format, crop, transform, planes,
  // buffer_id and may_be_kept.
  std::optional<Frame> Lend(pw_buffer* buffer, const VideoFormat& format,
                            const BufferReading& reading, const Damage& damage);

 private:
  struct Slot {
    BufferPool* pool = nullptr;  // Null once the buffer was taken away.
    pw_buffer* buffer = nullptr;
    uint64_t id = 0;
    std::vector<SecondMapping> mappings;  // One a data; empty: not lendable.
    // Of a DMA-BUF, instead: its planes, in their order.
    std::vector<UniqueFd> dmabufs;
    std::vector<size_t> sizes;
  };
  static absl::Status AddDmabufs(const spa_buffer& buffer, Slot& slot);
  static absl::Status AddMappings(const spa_buffer& buffer, Slot& slot);
  std::shared_ptr<Slot> Find(const pw_buffer* buffer) const;

  Loop& loop_;
  absl::AnyInvocable<void(pw_buffer*)> requeue_;
  std::vector<std::shared_ptr<Slot>> slots_;
  PictureCopies copies_;
};

}  // namespace kine
