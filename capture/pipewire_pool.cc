#include "capture/pipewire_pool.h"

#include <drm_fourcc.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "capture/pixel_format.h"
#include "daemon/base/check.h"
#include "daemon/base/limits.h"
#include "daemon/base/status.h"

namespace kine {
namespace {

constexpr size_t kStrideAlign = 64;

// The bytes [x0, x1) of the rows [y0, y1) of one plane.
struct PlaneRect {
  size_t x0 = 0;
  size_t x1 = 0;
  size_t y0 = 0;
  size_t y1 = 0;
};

// What of a plane the pixels of `rect` touch, chroma rounded outwards.
PlaneRect OnPlane(const PixelFormatInfo& info, int plane, const Rect& rect) {
  const auto x0 = static_cast<size_t>(rect.x);
  const auto y0 = static_cast<size_t>(rect.y);
  const auto x1 = static_cast<size_t>(rect.x + rect.width);
  const auto y1 = static_cast<size_t>(rect.y + rect.height);
  if (plane == 0) {
    const auto bytes = static_cast<size_t>(info.bytes_per_pixel);
    return {x0 * bytes, x1 * bytes, y0, y1};
  }
  const size_t round_x = (size_t{1} << info.chroma_shift_x) - 1;
  const size_t round_y = (size_t{1} << info.chroma_shift_y) - 1;
  const size_t bytes = info.planes == 2 ? 2 : 1;  // U and V side by side.
  return {(x0 >> info.chroma_shift_x) * bytes,
          ((x1 + round_x) >> info.chroma_shift_x) * bytes,
          y0 >> info.chroma_shift_y, (y1 + round_y) >> info.chroma_shift_y};
}

void CopyRect(const Plane& from, std::byte* to, size_t to_stride,
              const PlaneRect& rect) {
  for (size_t y = rect.y0; y < rect.y1; ++y) {
    std::memcpy(to + y * to_stride + rect.x0,
                from.data + y * from.stride + rect.x0, rect.x1 - rect.x0);
  }
}

// Not again in this process, so that no cache takes a new buffer for an old
// one.
uint64_t NewBufferId() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

bool IsMemory(const spa_data& data) {
  return data.type == SPA_DATA_MemPtr || data.type == SPA_DATA_MemFd;
}

// Reading pages behind a file's end is a SIGBUS.
bool FileCovers(const spa_data& data) {
  if (data.type != SPA_DATA_MemFd || data.fd < 0) return true;
  struct stat status {};
  return fstat(static_cast<int>(data.fd), &status) == 0 &&
         status.st_size >= int64_t{data.mapoffset} + int64_t{data.maxsize};
}

}  // namespace

std::optional<SecondMapping> SecondMapping::Of(const void* data, size_t size) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t inside = reinterpret_cast<uintptr_t>(data) % page;
  const size_t length = inside + size;
  // An old size of 0 makes a new mapping of the same shared pages: no need for
  // the descriptor, which buffers in the server's own memory do not show.
  void* old_base =
      const_cast<std::byte*>(static_cast<const std::byte*>(data) - inside);
  void* base = mremap(old_base, 0, length, MREMAP_MAYMOVE);
  if (base == MAP_FAILED) return std::nullopt;
  mprotect(base, length, PROT_READ);
  return SecondMapping(base, length,
                       static_cast<const std::byte*>(base) + inside);
}

SecondMapping::SecondMapping(SecondMapping&& other) noexcept
    : base_(std::exchange(other.base_, nullptr)),
      length_(other.length_),
      data_(other.data_) {}

SecondMapping::~SecondMapping() {
  if (base_ != nullptr) munmap(base_, length_);
}

std::optional<Frame> PictureCopies::Copy(const VideoFormat& format,
                                         const Rect& crop, const Damage& damage,
                                         absl::Span<const Plane> from) {
  const PixelFormatInfo* info = FindPixelFormat(format.fourcc);
  KINE_CHECK(info != nullptr);
  if (!(format == format_)) {
    // Those still lent live on in their frames.
    pictures_.clear();
    format_ = format;
  }
  std::shared_ptr<Picture> picture = TakeFree(format);
  if (picture == nullptr) return std::nullopt;
  for (const auto& each : pictures_) each->stale.Merge(damage);
  Damage stale = std::exchange(picture->stale, Damage());
  if (stale.full()) {
    stale = Damage();
    stale.Add(Rect{0, 0, crop.width, crop.height});
  }
  for (Rect rect : stale) {
    rect.x += crop.x;
    rect.y += crop.y;
    for (int i = 0; i < info->planes; ++i) {
      const auto p = static_cast<size_t>(i);
      CopyRect(from[p], picture->bytes[p], picture->planes[p].stride,
               OnPlane(*info, i, rect));
    }
  }
  picture->lent = true;
  Frame frame([loop = &loop_, picture] {
    loop->Post([picture] { picture->lent = false; });
  });
  frame.planes = picture->planes;
  frame.plane_count = info->planes;
  frame.buffer_id = picture->id;
  return frame;
}

std::shared_ptr<PictureCopies::Picture> PictureCopies::TakeFree(
    const VideoFormat& format) {
  // The least stale one is the one used last, but a scan for "not lent" in
  // order keeps the number of pictures in use, and their memory, smallest.
  for (const auto& picture : pictures_)
    if (!picture->lent) return picture;
  if (pictures_.size() >= limits::kPipeWireCopiesMax) return nullptr;
  const PixelFormatInfo& info = *FindPixelFormat(format.fourcc);
  auto picture = std::make_shared<Picture>();
  std::array<size_t, Frame::kPlanesMax> offsets{};
  size_t total = 0;
  for (int i = 0; i < info.planes; ++i) {
    const auto p = static_cast<size_t>(i);
    const PlaneRect all =
        OnPlane(info, i, Rect{0, 0, format.width, format.height});
    const size_t stride = (all.x1 + kStrideAlign - 1) & ~(kStrideAlign - 1);
    picture->planes[p].stride = static_cast<uint32_t>(stride);
    picture->planes[p].size = stride * all.y1;
    offsets[p] = total;
    total += stride * all.y1;
  }
  // Not zeroed: what is lent of it has been copied before.
  picture->memory.reset(new std::byte[total]);
  for (int i = 0; i < info.planes; ++i) {
    const auto p = static_cast<size_t>(i);
    picture->bytes[p] = picture->memory.get() + offsets[p];
    picture->planes[p].data = picture->bytes[p];
  }
  picture->id = NewBufferId();
  pictures_.push_back(picture);
  return picture;
}

BufferPool::BufferPool(Loop& loop, absl::AnyInvocable<void(pw_buffer*)> requeue)
    : loop_(loop), requeue_(std::move(requeue)), copies_(loop) {}

BufferPool::~BufferPool() {
  for (const auto& slot : slots_) slot->pool = nullptr;
}

absl::Status BufferPool::Add(pw_buffer* buffer, const StreamFormat& format) {
  const spa_buffer& spa = *buffer->buffer;
  auto slot = std::make_shared<Slot>();
  slot->pool = this;
  slot->buffer = buffer;
  slot->id = NewBufferId();
  if (spa.n_datas > 0 && spa.datas[0].type == SPA_DATA_DmaBuf) {
    if (!format.dmabuf) {
      return absl::UnimplementedError(
          "the node delivers DMA-BUFs, which cannot be read; MemPtr or MemFd "
          "was asked for");
    }
    KINE_RETURN_IF_ERROR(AddDmabufs(spa, *slot));
  } else if (format.video.modifier != DRM_FORMAT_MOD_LINEAR) {
    return absl::UnavailableError(
        "the node delivers memory where it agreed on DMA-BUFs");
  } else {
    KINE_RETURN_IF_ERROR(AddMappings(spa, *slot));
  }
  slots_.push_back(std::move(slot));
  return absl::OkStatus();
}

absl::Status BufferPool::AddMappings(const spa_buffer& buffer, Slot& slot) {
  bool lendable = true;
  for (const spa_data& data : absl::MakeSpan(buffer.datas, buffer.n_datas)) {
    // Seen of GStreamer's sink while it starts: buffers are handed round
    // before they are allocated. The next ones are right.
    if (!IsMemory(data)) {
      return absl::UnavailableError(
          absl::StrCat("the node delivers memory of type ", data.type));
    }
    if (data.data == nullptr || data.maxsize == 0 || !FileCovers(data)) {
      return absl::UnavailableError(
          "the node delivers buffers without memory behind them");
    }
    std::optional<SecondMapping> mapping =
        SecondMapping::Of(data.data, data.maxsize);
    if (mapping)
      slot.mappings.push_back(*std::move(mapping));
    else
      lendable = false;
  }
  if (!lendable) slot.mappings.clear();
  return absl::OkStatus();
}

absl::Status BufferPool::AddDmabufs(const spa_buffer& buffer, Slot& slot) {
  const size_t count = std::min<size_t>(buffer.n_datas, Frame::kPlanesMax);
  for (const spa_data& data : absl::MakeSpan(buffer.datas, count)) {
    // Behind the planes there may be other things: fences.
    if (data.type != SPA_DATA_DmaBuf) break;
    UniqueFd fd(fcntl(static_cast<int>(data.fd), F_DUPFD_CLOEXEC, 0));
    const off_t size = fd.valid() ? lseek(fd.get(), 0, SEEK_END) : -1;
    if (size <= 0) {
      return absl::UnavailableError(
          "the node delivers DMA-BUFs without memory behind them");
    }
    slot.dmabufs.push_back(std::move(fd));
    slot.sizes.push_back(static_cast<size_t>(size));
  }
  return absl::OkStatus();
}

std::shared_ptr<BufferPool::Slot> BufferPool::Find(
    const pw_buffer* buffer) const {
  const auto at = std::ranges::find(
      slots_, buffer, [](const auto& slot) { return slot->buffer; });
  return at == slots_.end() ? nullptr : *at;
}

BufferReading BufferPool::Read(pw_buffer* buffer,
                               const VideoFormat& format) const {
  const std::shared_ptr<Slot> slot = Find(buffer);
  KINE_CHECK(slot != nullptr);
  if (slot->dmabufs.empty()) return ReadBuffer(*buffer->buffer, format);
  return ReadDmabuf(*buffer->buffer, format, slot->sizes);
}

void BufferPool::Remove(pw_buffer* buffer) {
  const auto at =
      std::find_if(slots_.begin(), slots_.end(),
                   [&](const auto& slot) { return slot->buffer == buffer; });
  if (at == slots_.end()) return;
  (*at)->pool = nullptr;
  slots_.erase(at);
}

bool BufferPool::copies() const {
  const auto count = [this](auto predicate) {
    return std::ranges::count_if(slots_, predicate);
  };
  if (count([](const auto& slot) { return !slot->dmabufs.empty(); }) > 0)
    return false;
  if (slots_.size() < limits::kPipeWireLendBuffersMin) return true;
  return count([](const auto& slot) { return slot->mappings.empty(); }) > 0;
}

std::optional<Frame> BufferPool::Lend(pw_buffer* buffer,
                                      const VideoFormat& format,
                                      const BufferReading& reading,
                                      const Damage& damage) {
  const std::shared_ptr<Slot> slot = Find(buffer);
  KINE_CHECK(slot != nullptr);
  const bool copy = copies();
  std::array<Plane, Frame::kPlanesMax> planes;
  const auto count = static_cast<size_t>(reading.plane_count);
  for (size_t i = 0; i < count; ++i) {
    const PlaneLayout& layout = reading.planes[i];
    planes[i].stride = layout.stride;
    if (!slot->dmabufs.empty()) {
      planes[i].fd = slot->dmabufs[layout.data].get();
      planes[i].offset = static_cast<uint32_t>(layout.offset);
      continue;
    }
    const std::byte* base = copy ? static_cast<const std::byte*>(
                                       buffer->buffer->datas[layout.data].data)
                                 : slot->mappings[layout.data].data();
    planes[i].data = base + layout.offset;
    planes[i].size = layout.size;
  }
  std::optional<Frame> frame;
  if (copy) {
    frame = copies_.Copy(format, reading.crop, damage,
                         absl::MakeSpan(planes.data(), count));
    requeue_(buffer);
    if (!frame) return std::nullopt;
  } else {
    frame.emplace([loop = &loop_, slot] {
      loop->Post([slot] {
        if (slot->pool != nullptr) slot->pool->requeue_(slot->buffer);
      });
    });
    frame->planes = planes;
    frame->plane_count = reading.plane_count;
    frame->buffer_id = slot->id;
  }
  frame->format = format;
  frame->crop = reading.crop;
  frame->transform = reading.transform;
  frame->may_be_kept = copy || slots_.size() >= limits::kPipeWireLendBuffersMin;
  return frame;
}

}  // namespace kine
