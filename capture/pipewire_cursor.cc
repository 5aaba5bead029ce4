// CursorReader: SPA_META_Cursor into CursorUpdate.
#include <spa/param/video/raw.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "capture/pipewire_buffers.h"
#include "daemon/base/limits.h"

namespace kine {
namespace {

// Which byte of a pixel is blue, green, red, alpha.
using Order = std::array<uint8_t, 4>;

std::optional<Order> OrderOf(uint32_t spa_format) {
  switch (spa_format) {
    case SPA_VIDEO_FORMAT_BGRA:
      return Order{0, 1, 2, 3};
    case SPA_VIDEO_FORMAT_RGBA:
      return Order{2, 1, 0, 3};
    case SPA_VIDEO_FORMAT_ARGB:
      return Order{3, 2, 1, 0};
    case SPA_VIDEO_FORMAT_ABGR:
      return Order{1, 2, 3, 0};
    default:
      return std::nullopt;
  }
}

// Compositors send colours multiplied by alpha, and no field says so. A pixel
// brighter than its alpha proves the contrary for the whole bitmap.
void MakeStraight(std::vector<std::byte>& bgra) {
  for (size_t i = 0; i < bgra.size(); i += 4) {
    const std::byte top = std::max({bgra[i], bgra[i + 1], bgra[i + 2]});
    if (top > bgra[i + 3]) return;
  }
  for (size_t i = 0; i < bgra.size(); i += 4) {
    const auto alpha = std::to_integer<uint32_t>(bgra[i + 3]);
    if (alpha == 0 || alpha == 255) continue;
    for (size_t c = 0; c < 3; ++c) {
      const auto value = std::to_integer<uint32_t>(bgra[i + c]);
      bgra[i + c] = static_cast<std::byte>((value * 255 + alpha / 2) / alpha);
    }
  }
}

int ClampPosition(int64_t value) {
  return static_cast<int>(std::clamp<int64_t>(
      value, -2 * limits::kPictureSideMax, 2 * limits::kPictureSideMax));
}

}  // namespace

std::optional<CursorUpdate> CursorReader::Read(const spa_buffer& buffer,
                                               const Rect& crop,
                                               MonoTime time) {
  const spa_meta* meta = spa_buffer_find_meta(&buffer, SPA_META_Cursor);
  if (meta == nullptr || meta->data == nullptr ||
      meta->size < sizeof(spa_meta_cursor))
    return std::nullopt;
  spa_meta_cursor cursor;
  std::memcpy(&cursor, meta->data, sizeof cursor);
  CursorUpdate update;
  update.time = time;
  update.x = x_;
  update.y = y_;
  bool new_shape = false;
  // Id 0: the pointer is not on this screen. Nothing else is valid then.
  if (spa_meta_cursor_is_valid(&cursor)) {
    update.x = ClampPosition(int64_t{cursor.position.x} - crop.x);
    update.y = ClampPosition(int64_t{cursor.position.y} - crop.y);
    new_shape = ReadBitmap(*meta, cursor);
    update.visible = !shape_hidden_;
  }
  if (told_ && !new_shape && update.visible == visible_ && update.x == x_ &&
      update.y == y_)
    return std::nullopt;
  told_ = true;
  visible_ = update.visible;
  x_ = update.x;
  y_ = update.y;
  if (new_shape) update.shape = &shape_;
  return update;
}

bool CursorReader::ReadBitmap(const spa_meta& meta,
                              const spa_meta_cursor& cursor) {
  const size_t at = cursor.bitmap_offset;
  if (at < sizeof(spa_meta_cursor) || meta.size < sizeof(spa_meta_bitmap) ||
      at > meta.size - sizeof(spa_meta_bitmap))
    return false;
  const auto* base = static_cast<const std::byte*>(meta.data);
  spa_meta_bitmap bitmap;
  std::memcpy(&bitmap, base + at, sizeof bitmap);
  const uint32_t width = bitmap.size.width;
  const uint32_t height = bitmap.size.height;
  if (width == 0 || height == 0 || bitmap.offset == 0) {
    shape_hidden_ = true;
    return false;
  }
  const std::optional<Order> order = OrderOf(bitmap.format);
  const size_t row = size_t{width} * 4;
  const size_t pixels = at + bitmap.offset;
  if (!order || width > limits::kCursorSideMax ||
      height > limits::kCursorSideMax || bitmap.stride < 0 ||
      bitmap.offset < sizeof(spa_meta_bitmap) || pixels > meta.size)
    return false;
  const size_t stride =
      bitmap.stride == 0 ? row : static_cast<size_t>(bitmap.stride);
  if (stride < row || stride * (height - 1) + row > meta.size - pixels)
    return false;

  CursorShape shape;
  shape.width = static_cast<int>(width);
  shape.height = static_cast<int>(height);
  shape.hotspot_x = std::clamp(cursor.hotspot.x, 0, shape.width - 1);
  shape.hotspot_y = std::clamp(cursor.hotspot.y, 0, shape.height - 1);
  shape.bgra.resize(row * height);
  for (size_t y = 0; y < height; ++y) {
    const std::byte* from = base + pixels + y * stride;
    std::byte* to = shape.bgra.data() + y * row;
    for (size_t x = 0; x < row; x += 4)
      for (size_t c = 0; c < 4; ++c) to[x + c] = from[x + (*order)[c]];
  }
  MakeStraight(shape.bgra);
  shape_hidden_ = false;
  // Some sources repeat the bitmap with every buffer.
  if (shape.width == shape_.width && shape.height == shape_.height &&
      shape.hotspot_x == shape_.hotspot_x &&
      shape.hotspot_y == shape_.hotspot_y && shape.bgra == shape_.bgra)
    return false;
  shape_ = std::move(shape);
  return true;
}

}  // namespace kine
