#include "encode/picture/frame_reader.h"

#include <drm_fourcc.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "capture/pixel_format.h"
#include "daemon/base/limits.h"
#include "daemon/base/status.h"

namespace kine {
namespace {

absl::Status CheckGeometry(const Frame& frame) {
  const VideoFormat& format = frame.format;
  const Rect& crop = frame.crop;
  const Rect buffer = {0, 0, format.width, format.height};
  if (crop.empty() || Intersect(crop, buffer) != crop) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "crop %dx%d+%d+%d is not inside the %dx%d buffer", crop.width,
        crop.height, crop.x, crop.y, format.width, format.height));
  }
  const auto [small, large] = std::minmax(crop.width, crop.height);
  if (small < limits::kPictureSideMin || large > limits::kPictureSideMax) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "picture %dx%d: sides must be %d to %d", crop.width, crop.height,
        limits::kPictureSideMin, limits::kPictureSideMax));
  }
  // Memory without a modifier is linear; a mapped tiled buffer is noise.
  if (format.modifier != DRM_FORMAT_MOD_LINEAR &&
      format.modifier != DRM_FORMAT_MOD_INVALID) {
    return absl::UnimplementedError(absl::StrFormat(
        "modifier 0x%x cannot be read by the processor", format.modifier));
  }
  return absl::OkStatus();
}

// `shift`: how much smaller the plane is, as a power of two.
absl::Status CheckPlane(const Frame& frame, int index, int shift,
                        int bytes_per_sample) {
  if (index >= frame.plane_count) {
    return absl::InvalidArgumentError(
        absl::StrCat("frame has only ", frame.plane_count, " planes"));
  }
  const Plane& plane = frame.planes[static_cast<size_t>(index)];
  if (plane.data == nullptr) {
    return absl::UnimplementedError("frame is not in mapped memory");
  }
  const auto columns = static_cast<uint64_t>(
      ((frame.crop.x + frame.crop.width - 1) >> shift) + 1);
  const auto rows_before =
      static_cast<uint64_t>((frame.crop.y + frame.crop.height - 1) >> shift);
  const uint64_t row = columns * static_cast<uint64_t>(bytes_per_sample);
  if (plane.stride < row || plane.size < rows_before * plane.stride + row) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "plane %d of %d bytes with stride %d is too small for %d rows of %d "
        "bytes",
        index, plane.size, plane.stride, rows_before + 1, row));
  }
  return absl::OkStatus();
}

YuvWeights WeightsOf(const VideoFormat& format) {
  // The bytes of red, green and blue, from drm_fourcc.h's little-endian words.
  switch (format.fourcc) {
    case DRM_FORMAT_XRGB8888:
    case DRM_FORMAT_ARGB8888:
    case DRM_FORMAT_RGB888:
      return RgbWeights(2, 1, 0);
    case DRM_FORMAT_XBGR8888:
    case DRM_FORMAT_ABGR8888:
    case DRM_FORMAT_BGR888:
      return RgbWeights(0, 1, 2);
    case DRM_FORMAT_RGBX8888:
    case DRM_FORMAT_RGBA8888:
      return RgbWeights(3, 2, 1);
    case DRM_FORMAT_BGRX8888:
    case DRM_FORMAT_BGRA8888:
      return RgbWeights(1, 2, 3);
    default:
      return YuvToYuvWeights(format.matrix, format.range);
  }
}

const uint8_t* Bytes(const Plane& plane) {
  return reinterpret_cast<const uint8_t*>(plane.data);
}

// Repeats the last of `count` samples up to `wanted`.
void Replicate(uint8_t* samples, int count, int wanted, int bytes) {
  for (int i = count; i < wanted; ++i) {
    std::memcpy(samples + i * bytes, samples + (count - 1) * bytes,
                static_cast<size_t>(bytes));
  }
}

}  // namespace

absl::StatusOr<FrameReader> FrameReader::Open(const Frame& frame) {
  const PixelFormatInfo* info = FindPixelFormat(frame.format.fourcc);
  if (info == nullptr) {
    return absl::UnimplementedError(
        absl::StrCat("pixel format ", PixelFormatName(frame.format.fourcc)));
  }
  KINE_RETURN_IF_ERROR(CheckGeometry(frame));
  Kind kind = info->bytes_per_pixel == 3 ? Kind::kThreeBytes : Kind::kFourBytes;
  if (info->yuv) kind = info->planes == 2 ? Kind::kNv12 : Kind::kI420;
  KINE_RETURN_IF_ERROR(CheckPlane(frame, 0, 0, info->bytes_per_pixel));
  for (int i = 1; i < info->planes; ++i) {
    KINE_RETURN_IF_ERROR(CheckPlane(frame, i, 1, kind == Kind::kNv12 ? 2 : 1));
  }
  return FrameReader(frame, kind);
}

FrameReader::FrameReader(const Frame& frame, Kind kind)
    : frame_(&frame),
      kind_(kind),
      map_(frame.transform, frame.crop.width, frame.crop.height),
      weights_(WeightsOf(frame.format)) {
  const bool yuv = kind == Kind::kNv12 || kind == Kind::kI420;
  copyable_ = yuv && map_.identity() && frame.crop.x % 2 == 0 &&
              frame.crop.y % 2 == 0 &&
              frame.format.matrix == ColorMatrix::kBt709 &&
              frame.format.range == ColorRange::kLimited;
}

Rect FrameReader::DamageOf(const Rect& rect) const {
  if (rect.empty()) return {};
  const bool yuv = kind_ == Kind::kNv12 || kind_ == Kind::kI420;
  // A chroma sample covers its luma pixel's neighbour, too.
  const int border = yuv ? 1 : 0;
  return map_.ToUpright(Rect{rect.x - border, rect.y - border,
                             rect.width + 2 * border,
                             rect.height + 2 * border});
}

const uint8_t* FrameReader::At(TransformMap::Point crop) const {
  const Plane& plane = frame_->planes[0];
  const int bytes = kind_ == Kind::kThreeBytes ? 3 : 4;
  return Bytes(plane) +
         static_cast<ptrdiff_t>(frame_->crop.y + crop.y) * plane.stride +
         static_cast<ptrdiff_t>(frame_->crop.x + crop.x) * bytes;
}

const uint8_t* FrameReader::Row(int x, int y, int pixels,
                                uint8_t* scratch) const {
  y = std::min(y, height() - 1);
  const int inside = std::min(pixels, width() - x);
  const bool plain = kind_ == Kind::kFourBytes && map_.identity();
  if (plain && inside == pixels) return At({x, y});
  if (plain) {
    std::memcpy(scratch, At({x, y}), static_cast<size_t>(inside) * 4);
  } else if (kind_ == Kind::kFourBytes || kind_ == Kind::kThreeBytes) {
    GatherRgb(x, y, inside, scratch);
  } else {
    GatherYuv(x, y, inside, scratch);
  }
  Replicate(scratch, inside, pixels, 4);
  return scratch;
}

void FrameReader::GatherRgb(int x, int y, int pixels, uint8_t* to) const {
  const uint8_t* const first = At(map_.ToCrop(x, y));
  if (pixels == 1) {
    std::memcpy(to, first, 3);
    to[3] = kind_ == Kind::kFourBytes ? first[3] : uint8_t{0};
    return;
  }
  const ptrdiff_t step = At(map_.ToCrop(x + 1, y)) - first;
  if (kind_ == Kind::kFourBytes) {
    for (int i = 0; i < pixels; ++i)
      std::memcpy(to + 4 * i, first + i * step, 4);
    return;
  }
  for (int i = 0; i < pixels; ++i) {
    const uint8_t* const from = first + i * step;
    to[4 * i] = from[0];
    to[4 * i + 1] = from[1];
    to[4 * i + 2] = from[2];
    to[4 * i + 3] = 0;
  }
}

void FrameReader::GatherYuv(int x, int y, int pixels, uint8_t* to) const {
  const Plane& luma = frame_->planes[0];
  const Plane& u_plane = frame_->planes[1];
  const Plane& v_plane = frame_->planes[kind_ == Kind::kNv12 ? 1 : 2];
  const int stretch = kind_ == Kind::kNv12 ? 2 : 1;
  const int v_offset = kind_ == Kind::kNv12 ? 1 : 0;
  for (int i = 0; i < pixels; ++i) {
    const TransformMap::Point crop = map_.ToCrop(x + i, y);
    const ptrdiff_t column = frame_->crop.x + crop.x;
    const ptrdiff_t row = frame_->crop.y + crop.y;
    const ptrdiff_t chroma = (column >> 1) * stretch;
    to[4 * i] = Bytes(luma)[row * luma.stride + column];
    to[4 * i + 1] = Bytes(u_plane)[(row >> 1) * u_plane.stride + chroma];
    to[4 * i + 2] =
        Bytes(v_plane)[(row >> 1) * v_plane.stride + chroma + v_offset];
    to[4 * i + 3] = 0;
  }
}

void FrameReader::CopyRows(int x, int y, int pixels, uint8_t* luma_a,
                           uint8_t* luma_b, uint8_t* chroma) const {
  const Rect& crop = frame_->crop;
  const Plane& luma = frame_->planes[0];
  const int inside = std::min(pixels, width() - x);
  uint8_t* const to[2] = {luma_a, luma_b};
  for (int i = 0; i < 2; ++i) {
    const ptrdiff_t row = crop.y + std::min(y + i, height() - 1);
    std::memcpy(to[i], Bytes(luma) + row * luma.stride + crop.x + x,
                static_cast<size_t>(inside));
    Replicate(to[i], inside, pixels, 1);
  }
  const ptrdiff_t row = (crop.y + std::min(y, height() - 1)) >> 1;
  const ptrdiff_t column = (crop.x + x) >> 1;
  const int pairs = (inside + 1) / 2;
  const uint8_t* const u =
      Bytes(frame_->planes[1]) + row * frame_->planes[1].stride;
  if (kind_ == Kind::kNv12) {
    std::memcpy(chroma, u + 2 * column, static_cast<size_t>(pairs) * 2);
  } else {
    const uint8_t* const v =
        Bytes(frame_->planes[2]) + row * frame_->planes[2].stride;
    for (int i = 0; i < pairs; ++i) {
      chroma[2 * i] = u[column + i];
      chroma[2 * i + 1] = v[column + i];
    }
  }
  Replicate(chroma, pairs, pixels / 2, 2);
}

}  // namespace kine
