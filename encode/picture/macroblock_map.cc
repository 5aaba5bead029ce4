#include "encode/picture/macroblock_map.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "daemon/base/check.h"

namespace kine {

MacroblockMap::MacroblockMap(int width, int height)
    : columns_((width + kSide - 1) / kSide),
      rows_((height + kSide - 1) / kSide),
      bits_(static_cast<size_t>(columns_) * static_cast<size_t>(rows_), 0) {}

void MacroblockMap::SetAll() {
  std::fill(bits_.begin(), bits_.end(), uint8_t{1});
}

void MacroblockMap::ClearAll() {
  std::fill(bits_.begin(), bits_.end(), uint8_t{0});
}

void MacroblockMap::SetRect(const Rect& rect) {
  const Rect cut = Intersect(rect, Rect{0, 0, columns_ * kSide, rows_ * kSide});
  if (cut.empty()) return;
  const int left = cut.x / kSide;
  const int right = (cut.x + cut.width - 1) / kSide;
  const int bottom = (cut.y + cut.height - 1) / kSide;
  for (int row = cut.y / kSide; row <= bottom; ++row) {
    std::memset(&bits_[Index(left, row)], 1,
                static_cast<size_t>(right - left + 1));
  }
}

void MacroblockMap::SetAllOf(const MacroblockMap& other) {
  KINE_CHECK(size() == other.size());
  for (size_t i = 0; i < bits_.size(); ++i) bits_[i] |= other.bits_[i];
}

bool MacroblockMap::any() const {
  return std::find(bits_.begin(), bits_.end(), uint8_t{1}) != bits_.end();
}

uint32_t MacroblockMap::count() const {
  return std::accumulate(bits_.begin(), bits_.end(), uint32_t{0});
}

TransformMap::TransformMap(Transform transform, int width, int height)
    : width_(width),
      height_(height),
      identity_(transform == Transform::kNormal) {
  // The turn, counter-clockwise: 90 degrees show the crop's right edge on top.
  const int right = width - 1;
  const int bottom = height - 1;
  switch (transform) {
    case Transform::kNormal:
    case Transform::kFlipped:
      origin_ = {0, 0}, step_x_ = {1, 0}, step_y_ = {0, 1};
      break;
    case Transform::k90:
    case Transform::kFlipped90:
      origin_ = {right, 0}, step_x_ = {0, 1}, step_y_ = {-1, 0};
      std::swap(width_, height_);
      break;
    case Transform::k180:
    case Transform::kFlipped180:
      origin_ = {right, bottom}, step_x_ = {-1, 0}, step_y_ = {0, -1};
      break;
    case Transform::k270:
    case Transform::kFlipped270:
      origin_ = {0, bottom}, step_x_ = {0, -1}, step_y_ = {1, 0};
      std::swap(width_, height_);
      break;
  }
  if (transform >= Transform::kFlipped) {
    // The flip comes first: mirror where the turn reads.
    origin_.x = right - origin_.x;
    step_x_.x = -step_x_.x;
    step_y_.x = -step_y_.x;
  }
}

TransformMap::Point TransformMap::ToUpright(Point crop) const {
  // The steps are unit vectors, so the inverse is the transpose.
  const int x = crop.x - origin_.x;
  const int y = crop.y - origin_.y;
  return {x * step_x_.x + y * step_x_.y, x * step_y_.x + y * step_y_.y};
}

namespace {

// Around two opposite corners, both inside.
Rect Around(TransformMap::Point a, TransformMap::Point b) {
  return Rect{std::min(a.x, b.x), std::min(a.y, b.y), std::abs(a.x - b.x) + 1,
              std::abs(a.y - b.y) + 1};
}

}  // namespace

Rect TransformMap::ToUpright(const Rect& rect) const {
  if (rect.empty()) return {};
  return Around(
      ToUpright(Point{rect.x, rect.y}),
      ToUpright(Point{rect.x + rect.width - 1, rect.y + rect.height - 1}));
}

Rect TransformMap::ToCrop(const Rect& rect) const {
  if (rect.empty()) return {};
  return Around(ToCrop(rect.x, rect.y),
                ToCrop(rect.x + rect.width - 1, rect.y + rect.height - 1));
}

}  // namespace kine
