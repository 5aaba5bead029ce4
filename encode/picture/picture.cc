#include "encode/picture/picture.h"

#include <cstring>

#include "daemon/base/status.h"

namespace kine {
namespace {

constexpr int kSide = MacroblockMap::kSide;

// 16 bytes of each of `rows` rows.
bool SameBlock(const uint8_t* a, const uint8_t* b, int stride, int rows) {
  uint64_t difference = 0;
  for (int y = 0; y < rows; ++y, a += stride, b += stride) {
    uint64_t p[2];
    uint64_t q[2];
    std::memcpy(p, a, sizeof(p));
    std::memcpy(q, b, sizeof(q));
    difference |= (p[0] ^ q[0]) | (p[1] ^ q[1]);
  }
  return difference == 0;
}

void CopyBlock(const uint8_t* from, uint8_t* to, int stride, int rows) {
  for (int y = 0; y < rows; ++y, from += stride, to += stride) {
    std::memcpy(to, from, kSide);
  }
}

}  // namespace

void Picture::Resize(int width, int height) {
  true_width_ = width;
  true_height_ = height;
  changed_ = MacroblockMap(width, height);
  damaged_ = changed_;
  pointer_.Forget();
  stride_ = changed_.columns() * kSide;
  const auto stride = static_cast<size_t>(stride_);
  const auto rows = static_cast<size_t>(changed_.rows()) * kSide;
  luma_.assign(stride * rows, 0);
  chroma_.assign(stride * rows / 2, 0);
  scratch_luma_.resize(stride * kSide);
  scratch_chroma_.resize(stride * kSide / 2);
  scratch_rows_.resize(stride * 4 * 2);
}

PointerLayer::Planes Picture::Planes() {
  return {luma_.data(), chroma_.data(), stride_, true_width_, true_height_};
}

void Picture::LayPointer(const Pointer* pointer) {
  pointer_.Lay(pointer, transform_,
               TransformMap(transform_, crop_.width, crop_.height), Planes(),
               changed_);
}

void Picture::MovePointer(const Pointer* pointer) {
  pointer_.Lift(Planes());
  changed_.ClearAll();
  LayPointer(pointer);
}

absl::Status Picture::Take(const Frame& frame, const Pointer* pointer) {
  const bool known = known_ && frame.format == format_ && frame.crop == crop_ &&
                     frame.transform == transform_;
  known_ = false;
  KINE_ASSIGN_OR_RETURN(const FrameReader reader, FrameReader::Open(frame));
  const bool resized =
      reader.width() != true_width_ || reader.height() != true_height_;
  if (resized) Resize(reader.width(), reader.height());
  pointer_.Lift(Planes());

  damaged_.ClearAll();
  if (!known || frame.damage.full()) {
    damaged_.SetAll();
  } else {
    for (const Rect& rect : frame.damage) {
      damaged_.SetRect(reader.DamageOf(rect));
    }
  }
  changed_.ClearAll();
  for (int row = 0; row < damaged_.rows(); ++row) {
    for (int column = 0; column < damaged_.columns(); ++column) {
      if (!damaged_.at(column, row)) continue;
      const int first = column;
      while (column < damaged_.columns() && damaged_.at(column, row)) ++column;
      ConvertRun(reader, row, first, column);
    }
  }
  format_ = frame.format;
  crop_ = frame.crop;
  transform_ = frame.transform;
  LayPointer(pointer);
  if (resized) changed_.SetAll();
  known_ = true;
  return absl::OkStatus();
}

void Picture::ConvertRun(const FrameReader& reader, int row, int first,
                         int last) {
  const int x = first * kSide;
  const int pixels = (last - first) * kSide;
  uint8_t* const rows = scratch_rows_.data();
  for (int i = 0; i < kSide; i += 2) {
    const int y = row * kSide + i;
    uint8_t* const luma_a = scratch_luma_.data() + i * stride_;
    uint8_t* const luma_b = luma_a + stride_;
    uint8_t* const chroma = scratch_chroma_.data() + i / 2 * stride_;
    if (reader.is_nv12_or_i420_as_wanted()) {
      reader.CopyRows(x, y, pixels, luma_a, luma_b, chroma);
      continue;
    }
    const uint8_t* const a = reader.Row(x, y, pixels, rows);
    const uint8_t* const b = reader.Row(x, y + 1, pixels, rows + 4 * stride_);
    kernel_.convert(a, b, pixels, reader.weights(), luma_a, luma_b, chroma);
  }
  for (int column = first; column < last; ++column) {
    KeepIfChanged(column, row, column - first);
  }
}

void Picture::KeepIfChanged(int column, int row, int scratch_column) {
  const uint8_t* const luma = scratch_luma_.data() + scratch_column * kSide;
  const uint8_t* const chroma = scratch_chroma_.data() + scratch_column * kSide;
  const auto stride = static_cast<ptrdiff_t>(stride_);
  uint8_t* const kept_luma =
      luma_.data() + row * kSide * stride + column * kSide;
  uint8_t* const kept_chroma =
      chroma_.data() + row * (kSide / 2) * stride + column * kSide;
  if (SameBlock(luma, kept_luma, stride_, kSide) &&
      SameBlock(chroma, kept_chroma, stride_, kSide / 2)) {
    return;
  }
  CopyBlock(luma, kept_luma, stride_, kSide);
  CopyBlock(chroma, kept_chroma, stride_, kSide / 2);
  changed_.Set(column, row);
}

}  // namespace kine
