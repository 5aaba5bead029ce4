#include "tests/encode/test_frames.h"

#include <drm_fourcc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>

#include "capture/pixel_format.h"
#include "daemon/base/check.h"

namespace kine {
namespace {

// Memory between two pages that must not be touched.
class Guarded {
 public:
  Guarded(size_t size, bool guard_in_front)
      : page_(static_cast<size_t>(sysconf(_SC_PAGESIZE))),
        inner_((size + page_ - 1) / page_ * page_) {
    base_ = static_cast<uint8_t*>(mmap(nullptr, inner_ + 2 * page_, PROT_NONE,
                                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    KINE_CHECK(base_ != MAP_FAILED);
    KINE_CHECK(mprotect(base_ + page_, inner_, PROT_READ | PROT_WRITE) == 0);
    data_ = base_ + page_ + (guard_in_front ? 0 : inner_ - size);
  }
  ~Guarded() { munmap(base_, inner_ + 2 * page_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  uint8_t* data() const { return data_; }

 private:
  const size_t page_;
  const size_t inner_;
  uint8_t* base_ = nullptr;
  uint8_t* data_ = nullptr;
};

using Memory = std::vector<std::unique_ptr<Guarded>>;

uint8_t* AddPlane(Frame& frame, Memory& memory, int row_bytes, int rows,
                  const FrameShape& shape) {
  const auto stride = static_cast<size_t>(row_bytes + shape.stride_padding);
  const size_t size =
      stride * static_cast<size_t>(rows - 1) + static_cast<size_t>(row_bytes);
  memory.push_back(std::make_unique<Guarded>(size, shape.guard_in_front));
  Plane& plane = frame.planes[static_cast<size_t>(frame.plane_count++)];
  plane.data = reinterpret_cast<const std::byte*>(memory.back()->data());
  plane.size = size;
  plane.stride = static_cast<uint32_t>(stride);
  return memory.back()->data();
}

void StoreRgb(uint32_t fourcc, Rgb c, uint8_t* to) {
  switch (fourcc) {
    case DRM_FORMAT_RGB888:
    case DRM_FORMAT_XRGB8888:
    case DRM_FORMAT_ARGB8888:
      to[0] = c.b, to[1] = c.g, to[2] = c.r;
      break;
    case DRM_FORMAT_BGR888:
    case DRM_FORMAT_XBGR8888:
    case DRM_FORMAT_ABGR8888:
      to[0] = c.r, to[1] = c.g, to[2] = c.b;
      break;
    case DRM_FORMAT_RGBX8888:
    case DRM_FORMAT_RGBA8888:
      to[1] = c.b, to[2] = c.g, to[3] = c.r;
      break;
    default:
      to[1] = c.r, to[2] = c.g, to[3] = c.b;
      break;
  }
}

uint8_t Round(double value) {
  return static_cast<uint8_t>(std::clamp(std::lround(value), 0l, 255l));
}

// The crop's picture in a buffer with a garbage border.
TestImage WithBorder(const TestImage& turned, const FrameShape& shape) {
  TestImage buffer = RandomImage(turned.width + shape.left + shape.right,
                                 turned.height + shape.top + shape.bottom, 99);
  for (int y = 0; y < turned.height; ++y) {
    for (int x = 0; x < turned.width; ++x) {
      buffer.at(x + shape.left, y + shape.top) = turned.at(x, y);
    }
  }
  return buffer;
}

void FillYuv(const TestImage& buffer, const FrameShape& shape, Frame& frame,
             Memory& memory) {
  const int half_width = (buffer.width + 1) / 2;
  const int half_height = (buffer.height + 1) / 2;
  const bool nv12 = shape.fourcc == DRM_FORMAT_NV12;
  uint8_t* const luma =
      AddPlane(frame, memory, buffer.width, buffer.height, shape);
  uint8_t* u =
      AddPlane(frame, memory, half_width * (nv12 ? 2 : 1), half_height, shape);
  uint8_t* const v =
      nv12 ? u + 1 : AddPlane(frame, memory, half_width, half_height, shape);
  const ReferencePicture reference = ReferenceOf(buffer);
  for (int y = 0; y < buffer.height; ++y) {
    for (int x = 0; x < buffer.width; ++x) {
      luma[y * static_cast<int>(frame.planes[0].stride) + x] =
          Round(reference.luma[static_cast<size_t>(y * reference.width + x)]);
    }
  }
  for (int y = 0; y < half_height; ++y) {
    for (int x = 0; x < half_width; ++x) {
      const auto from = static_cast<size_t>(y * half_width + x);
      const int to =
          y * static_cast<int>(frame.planes[1].stride) + x * (nv12 ? 2 : 1);
      u[to] = Round(reference.u[from]);
      v[to] = Round(reference.v[from]);
    }
  }
}

}  // namespace

void TestImage::Fill(const Rect& rect, Rgb color) {
  for (int y = rect.y; y < rect.y + rect.height; ++y) {
    for (int x = rect.x; x < rect.x + rect.width; ++x) at(x, y) = color;
  }
}

TestImage RandomImage(int width, int height, uint32_t seed) {
  std::mt19937 random(seed);
  const auto byte = [&random] { return static_cast<uint8_t>(random() >> 24); };
  TestImage image(width, height);
  for (Rgb& pixel : image.pixels) pixel = Rgb{byte(), byte(), byte()};
  for (int i = 0; i < 20; ++i) {
    const Rect rect = {static_cast<int>(random() % 256) * width / 256,
                       static_cast<int>(random() % 256) * height / 256,
                       width / 4 + 1, height / 4 + 1};
    image.Fill(Intersect(rect, Rect{0, 0, width, height}),
               Rgb{byte(), byte(), byte()});
  }
  return image;
}

TestImage TextPage(int width, int height, int first_line) {
  constexpr Rgb kPaper = {250, 250, 250};
  TestImage page(width, height);
  page.Fill(Rect{0, 0, width, height}, kPaper);
  for (int top = 0; top < height; top += kTextLine) {
    std::mt19937 random(static_cast<uint32_t>(first_line + top / kTextLine));
    const int letters = 20 + static_cast<int>(random() % 150);
    for (int i = 0; i < letters && 8 * i + 16 < width; ++i) {
      const auto shape = static_cast<uint32_t>(random() % 70);
      if (shape < 10) continue;  // A space.
      std::mt19937 glyph(shape);
      for (int stroke = 0; stroke < 4; ++stroke) {
        const bool flat = glyph() % 2 == 0;
        const int x = 8 * i + 8 + static_cast<int>(glyph() % 6);
        const int y = top + 2 + static_cast<int>(glyph() % 9);
        const int length = 3 + static_cast<int>(glyph() % 5);
        const Rect line = {x, y, flat ? length : 1, flat ? 1 : length};
        const auto grey = static_cast<uint8_t>(20 + glyph() % 90);
        page.Fill(Intersect(line, Rect{8 * i + 8, top, 8,
                                       std::min(kTextLine, height - top)}),
                  Rgb{grey, grey, static_cast<uint8_t>(grey + 20)});
      }
    }
  }
  return page;
}

TestImage Unturn(const TestImage& image, Transform transform) {
  // A quarter turn clockwise undoes one counter-clockwise; the mirror comes
  // last, because the compositor's reader mirrors first.
  const int turns = static_cast<int>(transform) % 4;
  TestImage out = image;
  for (int i = 0; i < turns; ++i) {
    TestImage next(out.height, out.width);
    for (int y = 0; y < out.height; ++y) {
      for (int x = 0; x < out.width; ++x) {
        next.at(out.height - 1 - y, x) = out.at(x, y);
      }
    }
    out = next;
  }
  if (transform >= Transform::kFlipped) {
    for (int y = 0; y < out.height; ++y) {
      for (int x = 0; x < out.width / 2; ++x) {
        std::swap(out.at(x, y), out.at(out.width - 1 - x, y));
      }
    }
  }
  return out;
}

Frame MakeFrame(const TestImage& image, const FrameShape& shape) {
  const TestImage buffer = WithBorder(Unturn(image, shape.transform), shape);
  auto memory = std::make_shared<Memory>();
  Frame frame([memory] { memory->clear(); });
  frame.format.fourcc = shape.fourcc;
  frame.format.width = buffer.width;
  frame.format.height = buffer.height;
  frame.crop =
      Rect{shape.left, shape.top, buffer.width - shape.left - shape.right,
           buffer.height - shape.top - shape.bottom};
  frame.transform = shape.transform;
  const PixelFormatInfo* const info = FindPixelFormat(shape.fourcc);
  KINE_CHECK(info != nullptr);
  if (info->yuv) {
    FillYuv(buffer, shape, frame, *memory);
    return frame;
  }
  uint8_t* const data =
      AddPlane(frame, *memory, buffer.width * info->bytes_per_pixel,
               buffer.height, shape);
  for (int y = 0; y < buffer.height; ++y) {
    uint8_t* row = data + static_cast<size_t>(y) * frame.planes[0].stride;
    for (int x = 0; x < buffer.width; ++x, row += info->bytes_per_pixel) {
      std::memset(row, 0xa5, static_cast<size_t>(info->bytes_per_pixel));
      StoreRgb(shape.fourcc, buffer.at(x, y), row);
    }
  }
  return frame;
}

Yuv ReferenceYuv(double r, double g, double b) {
  // BT.709-6, items 3.2 and 3.3; 8-bit quantisation of item 3.4.
  const double y = (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255;
  return {16 + 219 * y, 128 + 224 * (b / 255 - y) / 1.8556,
          128 + 224 * (r / 255 - y) / 1.5748};
}

ReferencePicture ReferenceOf(const TestImage& image) {
  ReferencePicture out;
  out.width = (image.width + 1) / 2 * 2;
  out.height = (image.height + 1) / 2 * 2;
  const auto pixel = [&image](int x, int y) {
    return image.at(std::min(x, image.width - 1),
                    std::min(y, image.height - 1));
  };
  for (int y = 0; y < out.height; ++y) {
    for (int x = 0; x < out.width; ++x) {
      const Rgb c = pixel(x, y);
      out.luma.push_back(ReferenceYuv(c.r, c.g, c.b).y);
    }
  }
  for (int y = 0; y < out.height; y += 2) {
    for (int x = 0; x < out.width; x += 2) {
      double r = 0;
      double g = 0;
      double b = 0;
      for (int i = 0; i < 4; ++i) {
        const Rgb c = pixel(x + i % 2, y + i / 2);
        r += c.r / 4.0, g += c.g / 4.0, b += c.b / 4.0;
      }
      const Yuv yuv = ReferenceYuv(r, g, b);
      out.u.push_back(yuv.u);
      out.v.push_back(yuv.v);
    }
  }
  return out;
}

}  // namespace kine
