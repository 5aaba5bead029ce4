// H264Decoder: one libavcodec decoder, for samples as encode/mp4 stores them.
// Nothing outside of this file's .cc sees libavcodec.
//
// One thread. Decodes in one thread of its own, so that what is asked for is
// what is spent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kine::frames {

// A decoded picture: I420, BT.709 limited. A view, valid during the call that
// it was given to.
struct DecodedPicture {
  int64_t number = 0;  // Of the sample that it came from.
  int width = 0;       // As cropped by the stream.
  int height = 0;
  const uint8_t* planes[3] = {};
  int strides[3] = {};  // Bytes.
};

class H264Decoder {
 public:
  using Sink = absl::FunctionRef<absl::Status(const DecodedPicture&)>;

  // UNIMPLEMENTED when the library has no H.264 decoder.
  static absl::StatusOr<H264Decoder> Create();

  // Decodes one sample (NAL units behind 4-byte lengths, parameter sets in
  // band). `sink` gets what comes out, at once or with a later sample.
  // DATA_LOSS for a sample that is broken, with libavcodec's words; the errors
  // of `sink`.
  absl::Status Decode(std::span<const std::byte> sample, int64_t number,
                      Sink sink);
  // What is still inside. Once, last.
  absl::Status Flush(Sink sink);

 private:
  struct Parts;
  struct Deleter {
    void operator()(Parts* parts) const;
  };

  explicit H264Decoder(std::unique_ptr<Parts, Deleter> parts)
      : parts_(std::move(parts)) {}
  absl::Status Receive(Sink sink);

  std::unique_ptr<Parts, Deleter> parts_;
  std::vector<uint8_t> annex_b_;
};

}  // namespace kine::frames
