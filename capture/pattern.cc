#include "capture/pattern.h"

#include <drm_fourcc.h>

#include <algorithm>
#include <cstring>

#include "daemon/base/check.h"

namespace kine {
namespace {

constexpr uint32_t kPaper = 0x00101014;
constexpr uint32_t kInk = 0x00d0d8d0;
constexpr uint32_t kWhite = 0x00ffffff;
constexpr int kBlank = 0;
constexpr int kRampPeriod = 256;
constexpr int kVideoBand = 16;

// The same text on every machine and in every build.
class Noise {
 public:
  uint32_t Next() {
    state_ = state_ * 1664525u + 1013904223u;
    return state_ >> 8;
  }

 private:
  uint32_t state_ = 1;
};

int RoundUp(int value, int unit) { return (value + unit - 1) / unit * unit; }

}  // namespace

PatternPicture::PatternPicture(Pattern pattern, int width, int height)
    : pattern_(pattern),
      width_(width),
      height_(height),
      code_(width, height),
      columns_(RoundUp(width, kCellWidth) / kCellWidth),
      lines_(2 * RoundUp(height, kCellHeight) / kCellHeight) {
  BuildGlyphs();
  BuildPage();
  if (pattern == Pattern::kVideo) BuildRamp();
  typing_line_ = RoundUp(code_.area().height, kCellHeight) / kCellHeight;
  typing_cells_ =
      std::max(0, height / kCellHeight - typing_line_) * (width / kCellWidth);
}

void PatternPicture::BuildGlyphs() {
  Noise noise;
  for (int g = 0; g < kGlyphs; ++g) {
    for (int row = 0; row < kCellHeight; ++row) {
      for (int x = 0; x < kCellWidth; ++x) {
        const bool inside = x >= 1 && x <= 6 && row >= 2 && row <= 11;
        const bool ink = inside && g != kBlank && noise.Next() % 100 < 45;
        glyphs_[static_cast<size_t>(g)][static_cast<size_t>(row)]
               [static_cast<size_t>(x)] = ink ? kInk : kPaper;
      }
    }
  }
}

void PatternPicture::BuildPage() {
  constexpr std::array<int, 5> kLineLengths = {20, 40, 60, 90, 120};
  Noise noise;
  page_.assign(static_cast<size_t>(columns_) * static_cast<size_t>(lines_),
               kBlank);
  for (int line = 0; line < lines_; ++line) {
    const int length =
        std::min(kLineLengths[noise.Next() % kLineLengths.size()], columns_);
    for (int c = 0; c < length; ++c) {
      if (noise.Next() % 100 < 85) {
        page_[static_cast<size_t>(line * columns_ + c)] =
            static_cast<uint8_t>(noise.Next() % kGlyphs);
      }
    }
  }
}

void PatternPicture::BuildRamp() {
  // Triangles of slope 2 out of phase: two places less than a period apart
  // differ in at least one channel, so every step changes every pixel.
  const auto triangle = [](int phase) {
    const int p = phase % kRampPeriod;
    return static_cast<uint32_t>(
        p < kRampPeriod / 2 ? 2 * p : 2 * (kRampPeriod - 1 - p) + 1);
  };
  ramp_.resize(static_cast<size_t>(width_ + kRampPeriod));
  for (size_t i = 0; i < ramp_.size(); ++i) {
    const int p = static_cast<int>(i) % kRampPeriod;
    ramp_[i] = triangle(p) << 16 | triangle(p + kRampPeriod / 3) << 8 |
               triangle(p + 2 * kRampPeriod / 3);
  }
}

Rect PatternPicture::TypingCell(uint64_t frame) const {
  const int per_line = width_ / kCellWidth;
  const int cell =
      static_cast<int>(frame % static_cast<uint64_t>(typing_cells_));
  return Rect{cell % per_line * kCellWidth,
              (typing_line_ + cell / per_line) * kCellHeight, kCellWidth,
              kCellHeight};
}

// What was last typed into `cell` up to `frame`, or -1.
int PatternPicture::TypingGlyph(uint64_t frame, int cell) const {
  const uint64_t cells = static_cast<uint64_t>(typing_cells_);
  const uint64_t c = static_cast<uint64_t>(cell);
  if (c > frame) return -1;
  const uint64_t typed_at = frame - (frame - c) % cells;
  // Neighbours in a line differ, and so do the same cell's contents from one
  // round to the next.
  return static_cast<int>((typed_at * 7 + typed_at / cells) % (kGlyphs - 1)) +
         1;
}

Damage PatternPicture::Changes(uint64_t from, uint64_t to) const {
  Damage damage;
  if (from == to) return damage;
  if (from > to) std::swap(from, to);
  switch (pattern_) {
    case Pattern::kVideo:
      return Damage::Full();
    case Pattern::kScroll:
      if (from / 3 != to / 3) return Damage::Full();
      break;
    case Pattern::kTyping: {
      if (typing_cells_ == 0) break;
      if (to - from > static_cast<uint64_t>(Damage::kRectsMax) / 2)
        return Damage::Full();
      for (uint64_t n = from + 1; n <= to; ++n) damage.Add(TypingCell(n));
      break;
    }
    case Pattern::kStill:
      break;
  }
  damage.Add(code_.area());
  return damage;
}

void PatternPicture::TextRow(uint64_t frame, int y, int x, int width,
                             uint32_t* out) const {
  const uint64_t scrolled = pattern_ == Pattern::kScroll ? frame / 3 : 0;
  const int line =
      static_cast<int>((scrolled + static_cast<uint64_t>(y / kCellHeight)) %
                       static_cast<uint64_t>(lines_));
  const size_t row = static_cast<size_t>(y % kCellHeight);
  const int per_line = width_ / kCellWidth;
  const int typing_row = y / kCellHeight - typing_line_;
  const bool typing = pattern_ == Pattern::kTyping && typing_row >= 0 &&
                      (typing_row + 1) * per_line <= typing_cells_;
  const uint8_t* glyphs = page_.data() + static_cast<size_t>(line * columns_);
  for (int at = x; at < x + width;) {
    const int column = at / kCellWidth;
    int glyph = glyphs[column];
    if (typing && column < per_line) {
      const int typed = TypingGlyph(frame, typing_row * per_line + column);
      if (typed >= 0) glyph = typed;
    }
    const int skip = at % kCellWidth;
    const int count = std::min(kCellWidth - skip, x + width - at);
    std::memcpy(out, glyphs_[static_cast<size_t>(glyph)][row].data() + skip,
                static_cast<size_t>(count) * sizeof(uint32_t));
    out += count;
    at += count;
  }
}

void PatternPicture::VideoRow(uint64_t frame, int y, int x, int width,
                              uint32_t* out) const {
  // Bands of different speeds, so that no single motion explains the picture.
  const uint64_t speed = 1 + static_cast<uint64_t>(y / kVideoBand % 7);
  const size_t phase = static_cast<size_t>(
      (frame * speed + static_cast<uint64_t>(y)) % kRampPeriod);
  std::memcpy(out, ramp_.data() + phase + x,
              static_cast<size_t>(width) * sizeof(uint32_t));
}

void PatternPicture::CodeRow(uint64_t frame, MonoTime time, int y, int x,
                             int width, uint32_t* out) const {
  const auto draw = [&](const Rect& block, bool white) {
    if (y < block.y || y >= block.y + block.height) return;
    const int from = std::max(block.x, x);
    const int to = std::min(block.x + block.width, x + width);
    if (from < to)
      std::fill(out + (from - x), out + (to - x), white ? kWhite : 0);
  };
  for (const bool inverted : {false, true}) {
    for (int i = 0; i < PatternCode::kNumberBits; ++i) {
      const bool bit = (frame >> (PatternCode::kNumberBits - 1 - i) & 1) != 0;
      draw(code_.NumberBlock(i, inverted), bit != inverted);
    }
    if (!code_.has_time()) continue;
    const uint64_t micros = static_cast<uint64_t>(time.micros());
    for (int i = 0; i < PatternCode::kTimeBits; ++i) {
      const bool bit = (micros >> (PatternCode::kTimeBits - 1 - i) & 1) != 0;
      draw(code_.TimeBlock(i, inverted), bit != inverted);
    }
  }
}

void PatternPicture::DrawRect(uint64_t frame, MonoTime time, const Rect& rect,
                              const PatternTarget& target) const {
  const auto render = [&](int y, uint32_t* row) {
    if (pattern_ == Pattern::kVideo) {
      VideoRow(frame, y, rect.x, rect.width, row);
    } else {
      TextRow(frame, y, rect.x, rect.width, row);
    }
    if (y < code_.area().height)
      CodeRow(frame, time, y, rect.x, rect.width, row);
  };
  const int bottom = rect.y + rect.height;
  if (target.fourcc == DRM_FORMAT_XRGB8888) {
    for (int y = rect.y; y < bottom; ++y) {
      render(y, reinterpret_cast<uint32_t*>(target.planes[0].data +
                                            static_cast<size_t>(y) *
                                                target.planes[0].stride) +
                    rect.x);
    }
    return;
  }
  const size_t width = static_cast<size_t>(rect.width);
  std::vector<uint32_t> pixels(2 * width);
  for (int y = rect.y; y < bottom; y += 2) {
    const int rows = std::min(2, bottom - y);
    for (int k = 0; k < rows; ++k)
      render(y + k, pixels.data() + static_cast<size_t>(k) * width);
    target.Write(Rect{rect.x, y, rect.width, rows}, pixels.data());
  }
}

void PatternPicture::Draw(uint64_t frame, MonoTime time, const Damage& damage,
                          const PatternTarget& target) const {
  KINE_CHECK(PatternTarget::Knows(target.fourcc));
  const Rect all{0, 0, width_, height_};
  if (damage.full()) return DrawRect(frame, time, all, target);
  for (Rect rect : damage) {
    if (target.subsampled()) {
      const int right = RoundUp(rect.x + rect.width, 2);
      const int bottom = RoundUp(rect.y + rect.height, 2);
      rect.x -= rect.x % 2;
      rect.y -= rect.y % 2;
      rect.width = right - rect.x;
      rect.height = bottom - rect.y;
    }
    DrawRect(frame, time, Intersect(rect, all), target);
  }
}

}  // namespace kine
