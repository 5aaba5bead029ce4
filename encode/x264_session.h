// X264Session: one opened libx264 for one size. Nothing outside of this file's
// .cc sees x264.h.
//
// Encode thread only.
#pragma once

#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "encode/encoder.h"
#include "encode/picture/picture.h"

struct x264_t;

namespace kine {

class X264Session {
 public:
  // For pictures of the size of `picture`, which has one. INTERNAL with x264's
  // own words when it refuses.
  static absl::StatusOr<std::unique_ptr<X264Session>> Open(
      const Picture& picture, const EncoderConfig& config);
  ~X264Session();
  X264Session(const X264Session&) = delete;
  X264Session& operator=(const X264Session&) = delete;

  int width() const { return width_; }
  int height() const { return height_; }

  struct Coded {
    std::vector<std::byte> data;  // AVCC.
    bool keyframe = false;
    // idr_pic_id, which must differ between neighbouring keyframes.
    uint32_t idr_id = 0;
  };
  // Encodes the picture with `qp`. x264 leaves out the macroblocks of
  // `unchanged` (raster order, 0 or 1; read until the call returns) whose QP,
  // when they were coded last, was not higher than `qp`. After an error the
  // session is of no use.
  absl::StatusOr<Coded> Encode(const Picture& picture,
                               std::vector<uint8_t>& unchanged, bool keyframe,
                               int qp);

 private:
  X264Session() = default;
  static void OnLog(void* self, int level, const char* format, va_list args);
  absl::Status Failed(absl::string_view what) const;

  x264_t* handle_ = nullptr;
  int width_ = 0;
  int height_ = 0;
  int64_t pictures_ = 0;
  uint32_t keyframes_ = 0;
  std::string last_log_;
};

// "164 r3095 baee400": of the library that is linked.
std::string X264Version();

}  // namespace kine
