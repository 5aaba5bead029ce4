#include "daemon/recorder/frame_png.h"

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "capture/pixel_format.h"
#include "daemon/base/status.h"
#include "daemon/recorder/png_rows.h"
#include "daemon/storage/blocking_io.h"
#include "encode/picture/frame_reader.h"

namespace kine {
namespace {

// Where R, G and B are in a pixel of 4 bytes.
struct Order {
  int red, green, blue;
};

absl::StatusOr<Order> OrderOf(uint32_t fourcc) {
  const PixelFormatInfo* const info = FindPixelFormat(fourcc);
  if (info == nullptr || info->yuv || info->bytes_per_pixel != 4)
    return absl::UnimplementedError(
        absl::StrCat("the source gives ", PixelFormatName(fourcc),
                     "; screenshots know formats of 4 bytes R, G, B only"));
  const auto at = [info](char letter) {
    return static_cast<int>(info->name.find(letter));
  };
  return Order{at('R'), at('G'), at('B')};
}

// Of the pixels that fall into each one of the target their mean.
class Scaler {
 public:
  Scaler(const FrameReader& reader, Order order, int width, int height)
      : reader_(reader),
        order_(order),
        width_(width),
        height_(height),
        scratch_(4 * static_cast<size_t>(reader.width())),
        sums_(3 * static_cast<size_t>(width)) {}

  void Row(int y, uint8_t* rgb) {
    if (width_ == reader_.width() && height_ == reader_.height())
      return CopyRow(y, rgb);
    const int top = Source(y, height_, reader_.height());
    const int bottom =
        std::max(top + 1, Source(y + 1, height_, reader_.height()));
    std::fill(sums_.begin(), sums_.end(), 0);
    for (int line = top; line < bottom; ++line) AddRow(line);
    for (int x = 0; x < width_; ++x) {
      const auto count =
          static_cast<uint32_t>((bottom - top) * (Right(x) - Left(x)));
      for (int i = 0; i < 3; ++i)
        rgb[3 * x + i] = static_cast<uint8_t>(
            (sums_[static_cast<size_t>(3 * x + i)] + count / 2) / count);
    }
  }

 private:
  static int Source(int at, int size, int source) {
    return static_cast<int>(int64_t{at} * source / size);
  }
  int Left(int x) const { return Source(x, width_, reader_.width()); }
  int Right(int x) const { return std::max(Left(x) + 1, Left(x + 1)); }

  void CopyRow(int y, uint8_t* rgb) {
    const uint8_t* pixel = reader_.Row(0, y, width_, scratch_.data());
    for (int x = 0; x < width_; ++x, pixel += 4, rgb += 3) {
      rgb[0] = pixel[order_.red];
      rgb[1] = pixel[order_.green];
      rgb[2] = pixel[order_.blue];
    }
  }

  void AddRow(int line) {
    const uint8_t* const row =
        reader_.Row(0, line, reader_.width(), scratch_.data());
    for (int x = 0; x < width_; ++x) {
      uint32_t* const sum = &sums_[static_cast<size_t>(3 * x)];
      for (int from = Left(x); from < Right(x); ++from) {
        const uint8_t* const pixel = row + 4 * from;
        sum[0] += pixel[order_.red];
        sum[1] += pixel[order_.green];
        sum[2] += pixel[order_.blue];
      }
    }
  }

  const FrameReader& reader_;
  const Order order_;
  const int width_;
  const int height_;
  std::vector<uint8_t> scratch_;
  std::vector<uint32_t> sums_;
};

// The other side of a scaled picture keeps its shape.
int Other(int side, int of, int other) {
  return std::max(1, static_cast<int>((int64_t{side} * other + of / 2) / of));
}

}  // namespace

absl::StatusOr<WrittenPng> WritePng(const Frame& frame, int width, int height,
                                    int out_fd) {
  KINE_ASSIGN_OR_RETURN(const FrameReader reader, FrameReader::Open(frame));
  KINE_ASSIGN_OR_RETURN(const Order order, OrderOf(frame.format.fourcc));
  if (width == 0 && height == 0) {
    width = reader.width();
    height = reader.height();
  } else if (width == 0) {
    width = Other(height, reader.height(), reader.width());
  } else if (height == 0) {
    height = Other(width, reader.width(), reader.height());
  }
  // Never enlarged: there is nothing more to see, and it costs.
  width = std::min(width, reader.width());
  height = std::min(height, reader.height());
  Scaler scaler(reader, order, width, height);
  KINE_ASSIGN_OR_RETURN(const std::string png,
                        PngOf(width, height, [&scaler](int y, uint8_t* rgb) {
                          scaler.Row(y, rgb);
                        }));
  KINE_RETURN_IF_ERROR(WriteFully(out_fd, 0, std::as_bytes(std::span(png))));
  return WrittenPng{width, height, png.size()};
}

}  // namespace kine
