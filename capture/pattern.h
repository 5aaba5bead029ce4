// The picture that both the test pattern source and the demo source show: a
// page of text-like glyphs that moves, with a machine-readable frame number
// and time in its top-left corner.
//
// Frame n is a pure function of (pattern, size, n, time), so a buffer that
// still holds an older frame is brought up to date by drawing what
// PatternPicture::Changes() names. Not thread-safe, but immutable after
// construction; no I/O.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "capture/create_source.h"
#include "capture/frame.h"
#include "daemon/base/clock.h"

namespace kine {

// Where the frame number and the time are in a picture, as rows of square
// blocks, most significant bit first, white = 1; below each of the two follow
// as many rows again with all bits inverted, so that a reader knows what it
// cannot trust.
//
// The number: 24 bits (modulo 2^24) in blocks of 16 pixels, hence 384x32; of 8,
// 4 or 2 where the picture is too narrow or too low for that. Pictures narrower
// than 48 pixels break the row of 2-pixel blocks into several of 8 blocks.
// The time: 48 bits of CLOCK_MONOTONIC microseconds in blocks half as large,
// right below. Left out where those would be under 2 pixels or do not fit.
class PatternCode {
 public:
  static constexpr int kNumberBits = 24;
  static constexpr int kTimeBits = 48;

  // Sizes from limits::kPictureSideMin up.
  PatternCode(int width, int height);

  int block() const { return block_; }
  bool has_time() const { return has_time_; }
  // Around all blocks.
  Rect area() const { return area_; }

  // `bit` 0 is the most significant one.
  Rect NumberBlock(int bit, bool inverted) const;
  Rect TimeBlock(int bit, bool inverted) const;

 private:
  int block_;
  int blocks_per_row_;
  bool has_time_;
  Rect area_;
};

// Memory to draw into: the planes of `fourcc` as pixel_format.h describes them.
struct PatternTarget {
  struct Plane {
    std::byte* data = nullptr;
    size_t stride = 0;  // Bytes.
  };
  uint32_t fourcc = 0;
  std::array<Plane, 3> planes;

  // All orders of 8-bit RGB with 3 or 4 bytes a pixel, NV12 and I420 (BT.709,
  // limited range).
  static bool Knows(uint32_t fourcc);
  // Two by two pixels share their colour.
  bool subsampled() const;
  // Stores the pixels of `rect`, row by row without gaps, as 0x00RRGGBB. When
  // subsampled, `rect` begins at even places and is at most two rows high.
  void Write(const Rect& rect, const uint32_t* pixels) const;

 private:
  void WriteYuv(const Rect& rect, const uint32_t* pixels) const;
};

class PatternPicture {
 public:
  using Pattern = TestPatternSpec::Pattern;

  PatternPicture(Pattern pattern, int width, int height);

  int width() const { return width_; }
  int height() const { return height_; }
  const PatternCode& code() const { return code_; }

  // What differs between the frames `from` and `to`, in any order.
  Damage Changes(uint64_t from, uint64_t to) const;

  // Draws the part `damage` of frame `frame`. When subsampled, the rectangles
  // are widened to even edges.
  void Draw(uint64_t frame, MonoTime time, const Damage& damage,
            const PatternTarget& target) const;

 private:
  static constexpr int kCellWidth = 8;
  static constexpr int kCellHeight = 14;
  static constexpr int kGlyphs = 64;
  // Of a glyph: 0x00RRGGBB, which is B, G, R, x in memory.
  using GlyphRow = std::array<uint32_t, kCellWidth>;

  void BuildGlyphs();
  void BuildPage();
  void BuildRamp();
  Rect TypingCell(uint64_t frame) const;
  int TypingGlyph(uint64_t frame, int cell) const;
  // The pixels [x, x + width) of row `y`.
  void TextRow(uint64_t frame, int y, int x, int width, uint32_t* out) const;
  void VideoRow(uint64_t frame, int y, int x, int width, uint32_t* out) const;
  void CodeRow(uint64_t frame, MonoTime time, int y, int x, int width,
               uint32_t* out) const;
  void DrawRect(uint64_t frame, MonoTime time, const Rect& rect,
                const PatternTarget& target) const;

  const Pattern pattern_;
  const int width_;
  const int height_;
  const PatternCode code_;
  // The page is an endless roll of lines of glyph numbers.
  const int columns_;
  const int lines_;
  std::vector<uint8_t> page_;
  std::array<std::array<GlyphRow, kCellHeight>, kGlyphs> glyphs_;
  // kVideo: one row of colours, longer than the picture by its period.
  std::vector<uint32_t> ramp_;
  // kTyping: the cells below the code.
  int typing_line_ = 0;
  int typing_cells_ = 0;
};

}  // namespace kine
