#include "capture/pipewire_buffers.h"

#include <drm_fourcc.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "capture/pixel_format.h"
#include "daemon/base/limits.h"

namespace kine {
namespace {

// A copy of a meta, so that each field is read once; none when it is missing
// or smaller than it must be.
template <typename T>
std::optional<T> FindMeta(const spa_buffer& buffer, spa_meta_type type) {
  const auto* data = static_cast<const T*>(
      spa_buffer_find_meta_data(&buffer, type, sizeof(T)));
  if (data == nullptr) return std::nullopt;
  T copy;
  std::memcpy(&copy, data, sizeof copy);
  return copy;
}

Rect ToRect(const spa_region& region) {
  constexpr int64_t kFar = limits::kPictureSideMax * 2;
  const int64_t x0 = std::clamp<int64_t>(region.position.x, -kFar, kFar);
  const int64_t y0 = std::clamp<int64_t>(region.position.y, -kFar, kFar);
  const int64_t x1 = std::clamp<int64_t>(
      int64_t{region.position.x} + region.size.width, -kFar, kFar);
  const int64_t y1 = std::clamp<int64_t>(
      int64_t{region.position.y} + region.size.height, -kFar, kFar);
  return Rect{static_cast<int>(x0), static_cast<int>(y0),
              static_cast<int>(x1 - x0), static_cast<int>(y1 - y0)};
}

Rect ReadCrop(const spa_buffer& buffer, const VideoFormat& format) {
  const Rect whole{0, 0, format.width, format.height};
  const auto meta = FindMeta<spa_meta_region>(buffer, SPA_META_VideoCrop);
  if (!meta) return whole;
  const Rect crop = Intersect(ToRect(meta->region), whole);
  return crop.empty() ? whole : crop;
}

// Rectangles until one without an area. None at all is a source that did not
// measure: mutter before 46 allocates the meta and never fills it.
void ReadDamage(const spa_buffer& buffer, BufferReading& out) {
  const spa_meta* meta = spa_buffer_find_meta(&buffer, SPA_META_VideoDamage);
  if (meta == nullptr || meta->data == nullptr) return;
  const auto* regions = static_cast<const spa_meta_region*>(meta->data);
  Damage damage;
  bool any = false;
  for (size_t i = 0; i < meta->size / sizeof(spa_meta_region); ++i) {
    spa_meta_region region;
    std::memcpy(&region, regions + i, sizeof region);
    if (!spa_meta_region_is_valid(&region)) break;
    any = true;
    Rect rect = Intersect(ToRect(region.region), out.crop);
    rect.x -= out.crop.x;
    rect.y -= out.crop.y;
    damage.Add(rect);
  }
  if (!any) return;
  out.damage = damage;
  out.damage_is_source = true;
}

Transform ReadTransform(const spa_buffer& buffer) {
  const auto meta =
      FindMeta<spa_meta_videotransform>(buffer, SPA_META_VideoTransform);
  if (!meta || meta->transform > SPA_META_TRANSFORMATION_Flipped270)
    return Transform::kNormal;
  return static_cast<Transform>(meta->transform);
}

uint32_t RoundUp(uint32_t value, uint32_t to) {
  return (value + to - 1) / to * to;
}

struct Extent {
  uint32_t row_bytes = 0;
  uint32_t rows = 0;
};

Extent PlaneExtent(const PixelFormatInfo& info, const VideoFormat& format,
                   int plane) {
  const auto width = static_cast<uint32_t>(format.width);
  const auto height = static_cast<uint32_t>(format.height);
  if (plane == 0)
    return {width * static_cast<uint32_t>(info.bytes_per_pixel), height};
  const uint32_t sub_x = 1u << info.chroma_shift_x;
  const uint32_t sub_y = 1u << info.chroma_shift_y;
  const uint32_t columns = (width + sub_x - 1) / sub_x;
  // Two planes: U and V side by side.
  return {info.planes == 2 ? columns * 2 : columns,
          (height + sub_y - 1) / sub_y};
}

// The bytes of one data that may be read, as its chunk says it.
struct Part {
  size_t offset = 0;
  size_t size = 0;
  int32_t stride = 0;
};

Part ReadChunk(const spa_data& data) {
  const spa_chunk chunk = *data.chunk;
  if (data.maxsize == 0) return {};
  const size_t offset = chunk.offset % data.maxsize;
  return {offset, std::min<size_t>(chunk.size, data.maxsize - offset),
          chunk.stride};
}

// How long a row is where the source gives no stride (GStreamer's sink): rows
// padded to 4 bytes, unless only unpadded ones fit.
uint32_t ImpliedStride(const Extent& extent, size_t size) {
  const uint32_t padded = RoundUp(extent.row_bytes, 4);
  return size_t{padded} * extent.rows <= size ? padded : extent.row_bytes;
}

bool Fits(const PlaneLayout& plane, const Extent& extent,
          const PixelFormatInfo& info) {
  if (plane.stride < extent.row_bytes) return false;
  // Four-byte pixels are read as words.
  if (info.bytes_per_pixel == 4 && plane.stride % 4 != 0) return false;
  return size_t{plane.stride} * (extent.rows - 1) + extent.row_bytes <=
         plane.size;
}

// One data per plane, or all planes behind each other in one.
bool LayOut(std::span<const Part> parts, const PixelFormatInfo& info,
            const VideoFormat& format, BufferReading& out) {
  const bool apart = parts.size() >= static_cast<size_t>(info.planes);
  Part span = parts[0];
  uint32_t luma_stride = 0;
  for (int i = 0; i < info.planes; ++i) {
    const auto index = static_cast<uint32_t>(i);
    if (apart) span = parts[index];
    // PipeWire allows rows from the bottom up; no screen source sends them.
    if (span.stride < 0) return false;
    const Extent extent = PlaneExtent(info, format, i);
    PlaneLayout& plane = out.planes[index];
    plane.data = apart ? index : 0;
    plane.offset = span.offset;
    plane.size = span.size;
    if (!apart && i > 0 && info.planes == 3) {
      plane.stride = (luma_stride + 1) / 2;
      if (span.stride == 0) plane.stride = RoundUp(plane.stride, 4);
    } else if (!apart && i > 0) {
      plane.stride = luma_stride;
    } else {
      plane.stride = span.stride > 0 ? static_cast<uint32_t>(span.stride)
                                     : ImpliedStride(extent, span.size);
    }
    if (i == 0) luma_stride = plane.stride;
    if (!Fits(plane, extent, info)) return false;
    if (!apart) {
      // Planes of odd heights start at even rows (GStreamer's layout).
      const uint32_t rows =
          i == 0 && info.yuv ? RoundUp(extent.rows, 2) : extent.rows;
      const size_t used = std::min(span.size, size_t{plane.stride} * rows);
      plane.size = used;
      span.offset += used;
      span.size -= used;
    }
  }
  out.plane_count = info.planes;
  return true;
}

// What every buffer has. False when there is nothing more to read in it.
bool ReadHeader(const spa_buffer& buffer, const VideoFormat& format,
                BufferReading& out) {
  out.crop = ReadCrop(buffer, format);
  if (const auto header = FindMeta<spa_meta_header>(buffer, SPA_META_Header)) {
    if (header->pts > 0) out.pts = header->pts;
    out.seq = header->seq;
    if (header->flags & SPA_META_HEADER_FLAG_CORRUPTED) return false;
  }
  return FindPixelFormat(format.fourcc) != nullptr && buffer.n_datas > 0 &&
         buffer.datas[0].chunk != nullptr;
}

bool IsFlaggedCorrupted(const spa_chunk& chunk) {
  return (static_cast<uint32_t>(chunk.flags) & SPA_CHUNK_FLAG_CORRUPTED) != 0;
}

BufferReading NoPicture(const spa_buffer& buffer, BufferReading& out) {
  if (spa_buffer_find_meta(&buffer, SPA_META_Cursor) != nullptr)
    out.kind = BufferReading::Kind::kNoPicture;
  return out;
}

void FinishPicture(const spa_buffer& buffer, BufferReading& out) {
  out.transform = ReadTransform(buffer);
  ReadDamage(buffer, out);
  out.kind = BufferReading::Kind::kPicture;
}

}  // namespace

BufferReading ReadBuffer(const spa_buffer& buffer, const VideoFormat& format) {
  BufferReading out;
  if (!ReadHeader(buffer, format, out)) return out;
  const PixelFormatInfo& info = *FindPixelFormat(format.fourcc);
  const spa_chunk& chunk = *buffer.datas[0].chunk;
  if (chunk.size == 0 || IsFlaggedCorrupted(chunk))
    return NoPicture(buffer, out);
  std::array<Part, Frame::kPlanesMax> parts;
  const auto planes = static_cast<size_t>(info.planes);
  const size_t count = buffer.n_datas >= planes ? planes : 1;
  for (size_t i = 0; i < count; ++i) {
    if (buffer.datas[i].chunk == nullptr) return out;
    parts[i] = ReadChunk(buffer.datas[i]);
  }
  if (LayOut({parts.data(), count}, info, format, out))
    FinishPicture(buffer, out);
  return out;
}

BufferReading ReadDmabuf(const spa_buffer& buffer, const VideoFormat& format,
                         std::span<const size_t> sizes) {
  BufferReading out;
  if (!ReadHeader(buffer, format, out)) return out;
  const PixelFormatInfo& info = *FindPixelFormat(format.fourcc);
  if (IsFlaggedCorrupted(*buffer.datas[0].chunk)) return NoPicture(buffer, out);
  const bool linear = format.modifier == DRM_FORMAT_MOD_LINEAR;
  const size_t count = std::min<size_t>(sizes.size(), Frame::kPlanesMax);
  std::array<Part, Frame::kPlanesMax> parts;
  for (size_t i = 0; i < count; ++i) {
    if (buffer.datas[i].chunk == nullptr) return out;
    const spa_chunk chunk = *buffer.datas[i].chunk;
    // Where it lies is told to the GPU's driver: nothing is guessed.
    if (chunk.stride <= 0 || chunk.offset >= sizes[i]) return out;
    parts[i] = {chunk.offset, sizes[i] - chunk.offset, chunk.stride};
    PlaneLayout& plane = out.planes[i];
    plane.data = static_cast<uint32_t>(i);
    plane.offset = chunk.offset;
    plane.stride = static_cast<uint32_t>(chunk.stride);
  }
  if (linear) {
    if (!LayOut({parts.data(), count}, info, format, out)) return out;
  } else {
    // A compressed layout has more planes than the pixels.
    if (count < static_cast<size_t>(info.planes)) return out;
    out.plane_count = static_cast<int>(count);
  }
  FinishPicture(buffer, out);
  return out;
}

uint64_t SequenceCounter::Next(uint64_t seq) {
  // A jump of more than a day at 60 Hz is another count, not a gap.
  constexpr uint64_t kGapMax = 86'400 * 60;
  const uint64_t last = std::exchange(last_, seq);
  if (last == 0 || seq <= last + 1 || seq - last > kGapMax) return 0;
  return seq - last - 1;
}

FrameTimes::Stamp FrameTimes::Next(std::optional<int64_t> pts,
                                   MonoTime arrival) {
  const bool first = std::exchange(first_, false);
  Stamp stamp{std::max(arrival, last_), false};
  if (pts) {
    const MonoTime shown = MonoTime::FromNanos(*pts);
    const bool ahead =
        shown - arrival > absl::Milliseconds(limits::kSourceTimeSkewMs);
    if (!ahead && (shown >= last_ || first))
      stamp = Stamp{std::max(shown, last_), true};
  }
  last_ = stamp.time;
  return stamp;
}

}  // namespace kine
