#include "encode/picture/pointer_layer.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

namespace kine {
namespace {

constexpr int kSide = MacroblockMap::kSide;
// What black and grey are: the kernel adds them once, whatever the alpha.
constexpr int kLumaZero = 16;
constexpr int kChromaZero = 128;

// Calls `each(planes' line, block's line, bytes)` for the lines of a block.
template <typename Block, typename Each>
void ForEachLine(const PointerLayer::Planes& planes, Block& block, Each each) {
  const ptrdiff_t stride = planes.stride;
  for (int y = 0; y < kSide; ++y)
    each(planes.luma + (block.row * kSide + y) * stride + block.column * kSide,
         block.luma.data() + y * kSide);
  for (int y = 0; y < kSide / 2; ++y)
    each(planes.chroma + (block.row * kSide / 2 + y) * stride +
             block.column * kSide,
         block.chroma.data() + y * kSide);
}

template <typename Block>
bool Same(const PointerLayer::Planes& planes, const Block& block) {
  bool same = true;
  ForEachLine(planes, block, [&](const uint8_t* a, const uint8_t* b) {
    same = same && std::memcmp(a, b, kSide) == 0;
  });
  return same;
}

// What is seen of `beneath` under `over`, which was multiplied by
// `alpha` / kFull before it was converted.
template <int kFull, int kZero>
uint8_t Blend(int beneath, int over, int alpha) {
  const int rest =
      (beneath * (kFull - alpha) + kZero * alpha + kFull / 2) / kFull;
  return static_cast<uint8_t>(std::clamp(over - kZero + rest, 0, 255));
}

}  // namespace

void PointerLayer::Forget() {
  blocks_.clear();
  lifted_.clear();
}

void PointerLayer::Lift(const Planes& planes) {
  for (Block& block : blocks_)
    ForEachLine(planes, block, [](uint8_t* line, uint8_t* kept) {
      std::swap_ranges(line, line + kSide, kept);
    });
  lifted_.swap(blocks_);
  blocks_.clear();
}

void PointerLayer::Lay(const Pointer* pointer, Transform transform,
                       const TransformMap& map, const Planes& planes,
                       MacroblockMap& changed) {
  if (pointer != nullptr && pointer->shape != nullptr) {
    const CursorShape& shape = *pointer->shape;
    Prepare(pointer->shape, transform);
    Draw(map.ToUpright(Rect{pointer->x - shape.hotspot_x,
                            pointer->y - shape.hotspot_y, shape.width,
                            shape.height}),
         planes);
  }
  for (const Block& block : blocks_)
    if (!Same(planes, block)) changed.Set(block.column, block.row);
  // Also what changed beneath it alone.
  for (const Block& block : lifted_) {
    if (Same(planes, block))
      changed.Clear(block.column, block.row);
    else
      changed.Set(block.column, block.row);
  }
  lifted_.clear();
}

void PointerLayer::Prepare(const std::shared_ptr<const CursorShape>& shape,
                           Transform transform) {
  if (shape == shape_ && transform == transform_) return;
  shape_ = shape;
  transform_ = transform;
  const TransformMap turned(transform, shape->width, shape->height);
  width_ = turned.width();
  height_ = turned.height();
  multiplied_.resize(shape->bgra.size());
  uint8_t* to = multiplied_.data();
  for (int y = 0; y < height_; ++y) {
    for (int x = 0; x < width_; ++x, to += 4) {
      const TransformMap::Point from = turned.ToCrop(x, y);
      const std::byte* const pixel =
          shape->bgra.data() + 4 * (ptrdiff_t{from.y} * shape->width + from.x);
      const auto alpha = std::to_integer<int>(pixel[3]);
      for (int i = 0; i < 3; ++i)
        to[i] = static_cast<uint8_t>(
            (std::to_integer<int>(pixel[i]) * alpha + 127) / 255);
      to[3] = static_cast<uint8_t>(alpha);
    }
  }
}

void PointerLayer::Draw(const Rect& area, const Planes& planes) {
  const Rect seen = Intersect(area, {0, 0, planes.width, planes.height});
  if (seen.empty()) return;
  const int first = seen.x / kSide;
  const int last = (seen.x + seen.width - 1) / kSide + 1;
  const int bottom = (seen.y + seen.height - 1) / kSide;
  rows_.resize(static_cast<size_t>(last - first) * kSide * 4 * 2);
  converted_.resize(static_cast<size_t>(last - first) * kSide * 3);
  for (int row = seen.y / kSide; row <= bottom; ++row) {
    for (int column = first; column < last; ++column) {
      Block& block = blocks_.emplace_back();
      block.column = column;
      block.row = row;
      ForEachLine(planes, block, [](const uint8_t* line, uint8_t* kept) {
        std::memcpy(kept, line, kSide);
      });
    }
    for (int y = row * kSide; y < (row + 1) * kSide; y += 2)
      DrawRows(area, planes, first, last, y);
  }
}

void PointerLayer::FillRow(const Rect& area, const Planes& planes, int first,
                           int last, int y, uint8_t* row) const {
  const int left = first * kSide;
  const int right = last * kSide;
  std::memset(row, 0, static_cast<size_t>(right - left) * 4);
  // The edge repeats, with what is drawn on it.
  const int line = std::min(y, planes.height - 1) - area.y;
  if (line < 0 || line >= area.height) return;
  const int from = std::max(area.x, left);
  const int to = std::min({area.x + area.width, right, planes.width});
  std::memcpy(row + 4 * (from - left),
              multiplied_.data() + 4 * (line * width_ + from - area.x),
              static_cast<size_t>(to - from) * 4);
  for (int x = planes.width; x < right; ++x)
    std::memcpy(row + 4 * (x - left), row + 4 * (planes.width - 1 - left), 4);
}

void PointerLayer::DrawRows(const Rect& area, const Planes& planes, int first,
                            int last, int y) {
  const int pixels = (last - first) * kSide;
  uint8_t* const above = rows_.data();
  uint8_t* const below = above + 4 * pixels;
  FillRow(area, planes, first, last, y, above);
  FillRow(area, planes, first, last, y + 1, below);
  uint8_t* const luma = converted_.data();
  uint8_t* const chroma = luma + 2 * pixels;
  static const YuvWeights kWeights = RgbWeights(2, 1, 0);
  kernel_.convert(above, below, pixels, kWeights, luma, luma + pixels, chroma);

  const ptrdiff_t stride = planes.stride;
  uint8_t* const to_luma = planes.luma + y * stride + first * kSide;
  uint8_t* const to_chroma = planes.chroma + y / 2 * stride + first * kSide;
  for (int x = 0; x < pixels; x += 2) {
    int alphas = 0;
    for (int i = 0; i < 4; ++i) {
      const int at = x + i % 2 + i / 2 * pixels;
      const int alpha = rows_[static_cast<size_t>(4 * at + 3)];
      uint8_t& sample = to_luma[i / 2 * stride + x + i % 2];
      if (alpha != 0) sample = Blend<255, kLumaZero>(sample, luma[at], alpha);
      alphas += alpha;
    }
    if (alphas == 0) continue;
    for (int i = 0; i < 2; ++i)
      to_chroma[x + i] =
          Blend<4 * 255, kChromaZero>(to_chroma[x + i], chroma[x + i], alphas);
  }
}

}  // namespace kine
