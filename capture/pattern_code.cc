#include "capture/pattern.h"
#include "daemon/base/check.h"
#include "daemon/base/limits.h"

namespace kine {
namespace {

int BlocksPerRow(int width, int block) {
  constexpr int kNarrowRow = 8;
  return PatternCode::kNumberBits * block <= width ? PatternCode::kNumberBits
                                                   : kNarrowRow;
}

int ChooseBlock(int width, int height) {
  for (int block : {16, 8, 4}) {
    if (PatternCode::kNumberBits * block <= width && 2 * block <= height)
      return block;
  }
  return 2;
}

}  // namespace

PatternCode::PatternCode(int width, int height)
    : block_(ChooseBlock(width, height)),
      blocks_per_row_(BlocksPerRow(width, block_)) {
  KINE_CHECK(width >= limits::kPictureSideMin &&
             height >= limits::kPictureSideMin);
  const int number_height = 2 * (kNumberBits / blocks_per_row_) * block_;
  // The time's two rows of half blocks are as high as one block.
  has_time_ = block_ >= 4 && number_height + block_ <= height;
  area_ = Rect{0, 0, blocks_per_row_ * block_,
               number_height + (has_time_ ? block_ : 0)};
}

Rect PatternCode::NumberBlock(int bit, bool inverted) const {
  const int rows = kNumberBits / blocks_per_row_;
  const int row = bit / blocks_per_row_ + (inverted ? rows : 0);
  return Rect{bit % blocks_per_row_ * block_, row * block_, block_, block_};
}

Rect PatternCode::TimeBlock(int bit, bool inverted) const {
  KINE_CHECK(has_time_);
  const int half = block_ / 2;
  return Rect{bit * half, 2 * block_ + (inverted ? half : 0), half, half};
}

}  // namespace kine
