// Which 16x16 macroblocks of a picture something is true of: damaged, changed,
// coded coarsely. One byte each, in raster order.
//
// A value; no thread of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "capture/frame.h"

namespace kine {

class MacroblockMap {
 public:
  static constexpr int kSide = 16;

  MacroblockMap() = default;
  // For a picture of width x height pixels; all clear.
  MacroblockMap(int width, int height);

  int columns() const { return columns_; }
  int rows() const { return rows_; }
  size_t size() const { return bits_.size(); }

  void SetAll();
  void ClearAll();
  void Set(int column, int row) { bits_[Index(column, row)] = 1; }
  void Clear(int column, int row) { bits_[Index(column, row)] = 0; }
  // Every macroblock that `rect` (picture coordinates) touches; what lies
  // outside of the picture is ignored.
  void SetRect(const Rect& rect);
  // Those of `other`, which has the same size, too.
  void SetAllOf(const MacroblockMap& other);

  bool at(int column, int row) const { return bits_[Index(column, row)] != 0; }
  bool any() const;
  uint32_t count() const;
  // Raster order, 0 or 1.
  const uint8_t* data() const { return bits_.data(); }

 private:
  size_t Index(int column, int row) const {
    return static_cast<size_t>(row) * static_cast<size_t>(columns_) +
           static_cast<size_t>(column);
  }

  int columns_ = 0;
  int rows_ = 0;
  std::vector<uint8_t> bits_;
};

// Where a pixel of the upright picture (what is recorded) lies in the crop, for
// each Transform: crop position = origin + x * step_x + y * step_y.
class TransformMap {
 public:
  // `width` x `height` is the crop's size, before the transform.
  TransformMap(Transform transform, int width, int height);

  // The upright size.
  int width() const { return width_; }
  int height() const { return height_; }
  bool identity() const { return identity_; }

  struct Point {
    int x = 0;
    int y = 0;
  };
  Point ToCrop(int x, int y) const {
    return {origin_.x + x * step_x_.x + y * step_y_.x,
            origin_.y + x * step_x_.y + y * step_y_.y};
  }
  // From the crop to the upright picture, and back.
  Rect ToUpright(const Rect& rect) const;
  Rect ToCrop(const Rect& rect) const;

 private:
  Point ToUpright(Point crop) const;

  int width_ = 0;
  int height_ = 0;
  bool identity_ = false;
  Point origin_;
  Point step_x_;
  Point step_y_;
};

}  // namespace kine
