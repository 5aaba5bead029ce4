#include "daemon/frames/png.h"

#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <vector>

#include "absl/strings/str_cat.h"

namespace kine::frames {
namespace {

// BT.709, limited range to full-range RGB, in 1/65536: 255/219 for luma, and
// 255/224 times the standard's 1.5748, 0.1873, 0.4681 and 1.8556 for chroma.
constexpr int kLuma = 76'309;
constexpr int kRedCr = 117'489;
constexpr int kGreenCb = 13'975;
constexpr int kGreenCr = 34'925;
constexpr int kBlueCb = 138'438;

uint8_t Clamped(int value) {
  return static_cast<uint8_t>(std::clamp((value + 32'768) >> 16, 0, 255));
}

// libpng reports through longjmp: nothing that needs destroying lives in here.
bool WriteAll(png_structp png, png_infop info, const DecodedPicture& picture,
              uint8_t* row) {
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  png_set_IHDR(png, info, static_cast<png_uint_32>(picture.width),
               static_cast<png_uint_32>(picture.height), 8, PNG_COLOR_TYPE_RGB,
               PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  // Desktops are flat areas: the cheapest settings lose little there.
  png_set_compression_level(png, 1);
  png_set_filter(png, 0, PNG_FILTER_SUB);
  png_set_sRGB(png, info, PNG_sRGB_INTENT_PERCEPTUAL);
  png_write_info(png, info);
  for (int y = 0; y < picture.height; ++y) {
    RowToRgb(picture, y, row);
    png_write_row(png, row);
  }
  png_write_end(png, info);
  return true;
}

void KeepError(png_structp png, png_const_charp text) {
  *static_cast<std::string*>(png_get_error_ptr(png)) = text;
  longjmp(png_jmpbuf(png), 1);
}

void Append(png_structp png, png_bytep data, size_t size) {
  static_cast<std::string*>(png_get_io_ptr(png))
      ->append(reinterpret_cast<const char*>(data), size);
}

}  // namespace

void RowToRgb(const DecodedPicture& picture, int row, uint8_t* rgb) {
  const uint8_t* const y = picture.planes[0] + row * picture.strides[0];
  const uint8_t* const u = picture.planes[1] + row / 2 * picture.strides[1];
  const uint8_t* const v = picture.planes[2] + row / 2 * picture.strides[2];
  for (int x = 0; x < picture.width; ++x, rgb += 3) {
    const int luma = (y[x] - 16) * kLuma;
    const int cb = u[x / 2] - 128;
    const int cr = v[x / 2] - 128;
    rgb[0] = Clamped(luma + cr * kRedCr);
    rgb[1] = Clamped(luma - cb * kGreenCb - cr * kGreenCr);
    rgb[2] = Clamped(luma + cb * kBlueCb);
  }
}

absl::StatusOr<std::string> ToPng(const DecodedPicture& picture) {
  std::string error = "out of memory";
  std::string out;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &error,
                                            KeepError, nullptr);
  png_infop info = png == nullptr ? nullptr : png_create_info_struct(png);
  if (info == nullptr) {
    png_destroy_write_struct(&png, nullptr);
    return absl::InternalError(absl::StrCat("PNG: ", error));
  }
  png_set_write_fn(png, &out, Append, nullptr);
  std::vector<uint8_t> row(static_cast<size_t>(picture.width) * 3);
  const bool written = WriteAll(png, info, picture, row.data());
  png_destroy_write_struct(&png, &info);
  if (!written) return absl::InternalError(absl::StrCat("PNG: ", error));
  return out;
}

}  // namespace kine::frames
