#include "daemon/recorder/png_rows.h"

#include <png.h>

#include <csetjmp>
#include <vector>

#include "absl/strings/str_cat.h"

namespace kine {
namespace {

// libpng reports through longjmp: nothing that needs destroying lives in here.
bool WriteAll(png_structp png, png_infop info, int width, int height,
              absl::FunctionRef<void(int, uint8_t*)> row, PngPixels pixels,
              uint8_t* bytes) {
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  png_set_IHDR(
      png, info, static_cast<png_uint_32>(width),
      static_cast<png_uint_32>(height), 8,
      pixels == PngPixels::kRgb ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_RGBA,
      PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
      PNG_FILTER_TYPE_DEFAULT);
  // Desktops are flat areas: the cheapest settings lose little there.
  png_set_compression_level(png, 1);
  png_set_filter(png, 0, PNG_FILTER_SUB);
  png_set_sRGB(png, info, PNG_sRGB_INTENT_PERCEPTUAL);
  png_write_info(png, info);
  for (int y = 0; y < height; ++y) {
    row(y, bytes);
    png_write_row(png, bytes);
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

absl::StatusOr<std::string> PngOf(int width, int height,
                                  absl::FunctionRef<void(int, uint8_t*)> row,
                                  PngPixels pixels) {
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
  std::vector<uint8_t> bytes(static_cast<size_t>(width) *
                             (pixels == PngPixels::kRgb ? 3 : 4));
  const bool written =
      WriteAll(png, info, width, height, row, pixels, bytes.data());
  png_destroy_write_struct(&png, &info);
  if (!written) return absl::InternalError(absl::StrCat("PNG: ", error));
  return out;
}

}  // namespace kine
