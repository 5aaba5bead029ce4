#include "daemon/frames/jpeg.h"

#include <cstdio>
// Needs stdio.h before it.
#include <jpeglib.h>

#include <csetjmp>
#include <cstdlib>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits/pictures.h"
#include "daemon/frames/png.h"

namespace kine::frames {
namespace {

struct Errors {
  jpeg_error_mgr manager;
  std::jmp_buf jump;
  char text[JMSG_LENGTH_MAX] = "";
};

void KeepError(j_common_ptr jpeg) {
  auto* errors = reinterpret_cast<Errors*>(jpeg->err);
  jpeg->err->format_message(jpeg, errors->text);
  std::longjmp(errors->jump, 1);
}

// libjpeg reports through longjmp: nothing that needs destroying lives in here.
bool WriteAll(jpeg_compress_struct& jpeg, Errors& errors,
              const DecodedPicture& picture, uint8_t* row,
              unsigned char** bytes, unsigned long* size) {
  if (setjmp(errors.jump) != 0) return false;
  jpeg_create_compress(&jpeg);
  jpeg_mem_dest(&jpeg, bytes, size);
  jpeg.image_width = static_cast<JDIMENSION>(picture.width);
  jpeg.image_height = static_cast<JDIMENSION>(picture.height);
  jpeg.input_components = 3;
  jpeg.in_color_space = JCS_RGB;
  jpeg_set_defaults(&jpeg);
  jpeg_set_quality(&jpeg, limits::kThumbnailQuality, TRUE);
  jpeg_start_compress(&jpeg, TRUE);
  for (int y = 0; y < picture.height; ++y) {
    RowToRgb(picture, y, row);
    JSAMPROW rows[] = {row};
    jpeg_write_scanlines(&jpeg, rows, 1);
  }
  jpeg_finish_compress(&jpeg);
  return true;
}

}  // namespace

absl::StatusOr<std::string> ToJpeg(const DecodedPicture& picture) {
  Errors errors{};
  jpeg_compress_struct jpeg{};
  jpeg.err = jpeg_std_error(&errors.manager);
  errors.manager.error_exit = &KeepError;
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  std::vector<uint8_t> row(
      static_cast<size_t>(picture.width > 0 ? picture.width : 1) * 3);
  const bool written =
      WriteAll(jpeg, errors, picture, row.data(), &bytes, &size);
  std::string out;
  if (written) out.assign(reinterpret_cast<const char*>(bytes), size);
  jpeg_destroy_compress(&jpeg);
  std::free(bytes);
  if (!written)
    return absl::InternalError(
        absl::StrCat("JPEG: ", absl::string_view(errors.text)));
  return out;
}

}  // namespace kine::frames
