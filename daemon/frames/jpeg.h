// ToJpeg: a decoded picture as one JPEG file, for previews.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "daemon/frames/h264_decoder.h"

namespace kine::frames {

// INTERNAL with libjpeg's words.
absl::StatusOr<std::string> ToJpeg(const DecodedPicture& picture);

}  // namespace kine::frames
