#include "capture/frame.h"

#include <algorithm>
#include <limits>

namespace kine {

Rect Intersect(const Rect& a, const Rect& b) {
  const int x0 = std::max(a.x, b.x);
  const int y0 = std::max(a.y, b.y);
  const int x1 = std::min(a.x + a.width, b.x + b.width);
  const int y1 = std::min(a.y + a.height, b.y + b.height);
  if (x1 <= x0 || y1 <= y0) return Rect{};
  return Rect{x0, y0, x1 - x0, y1 - y0};
}

Rect Union(const Rect& a, const Rect& b) {
  if (a.empty()) return b;
  if (b.empty()) return a;
  const int x0 = std::min(a.x, b.x);
  const int y0 = std::min(a.y, b.y);
  const int x1 = std::max(a.x + a.width, b.x + b.width);
  const int y1 = std::max(a.y + a.height, b.y + b.height);
  return Rect{x0, y0, x1 - x0, y1 - y0};
}

void Damage::Add(const Rect& rect) {
  if (full_ || rect.empty()) return;
  if (count_ < kRectsMax) {
    rects_[static_cast<size_t>(count_++)] = rect;
    return;
  }
  // Join `rect` with the one whose union adds the fewest pixels. Joining any
  // two of all would be better by a little and quadratic.
  size_t best = 0;
  int64_t best_waste = std::numeric_limits<int64_t>::max();
  for (size_t i = 0; i < kRectsMax; ++i) {
    const int64_t waste =
        Union(rects_[i], rect).area() - rects_[i].area() - rect.area();
    if (waste < best_waste) {
      best_waste = waste;
      best = i;
    }
  }
  rects_[best] = Union(rects_[best], rect);
}

void Damage::Merge(const Damage& other) {
  if (other.full_) {
    full_ = true;
    count_ = 0;
    return;
  }
  for (const Rect& rect : other) Add(rect);
}

void Damage::Clip(const Rect& bounds) {
  int kept = 0;
  for (int i = 0; i < count_; ++i) {
    const Rect cut = Intersect(rects_[static_cast<size_t>(i)], bounds);
    if (!cut.empty()) rects_[static_cast<size_t>(kept++)] = cut;
  }
  count_ = kept;
}

void Frame::CopyPicture(const Frame& other) {
  format = other.format;
  crop = other.crop;
  transform = other.transform;
  planes = other.planes;
  plane_count = other.plane_count;
  time = other.time;
  arrival = other.arrival;
  time_is_source = other.time_is_source;
  damage = other.damage;
  damage_is_source = other.damage_is_source;
  buffer_id = other.buffer_id;
  may_be_kept = other.may_be_kept;
  replaced = other.replaced;
}

Frame& Frame::operator=(Frame&& other) noexcept {
  if (this == &other) return *this;
  GiveBack();
  CopyPicture(other);
  other.plane_count = 0;
  release_ = std::exchange(other.release_, nullptr);
  return *this;
}

void Frame::GiveBack() {
  if (release_) std::exchange(release_, nullptr)();
}

Frame ShareFrame(std::shared_ptr<const Frame> whole) {
  const Frame& picture = *whole;
  Frame frame([whole = std::move(whole)] {});
  frame.CopyPicture(picture);
  return frame;
}

void InheritDamage(const Frame& older, Frame& newer) {
  newer.replaced += older.replaced + 1;
  if (older.format != newer.format || older.crop != newer.crop ||
      older.transform != newer.transform) {
    newer.damage = Damage::Full();
    return;
  }
  newer.damage.Merge(older.damage);
  newer.damage_is_source = newer.damage_is_source && older.damage_is_source;
}

}  // namespace kine
