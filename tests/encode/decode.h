// Packets -> pictures, by the ffmpeg and ffprobe programs: a decoder that is
// not ours.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "encode/encoder.h"
#include "encode/picture/picture.h"

namespace kine {

bool HaveFfmpeg();

struct DecodedPicture {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> luma;
  std::vector<uint8_t> chroma;  // U, V pairs.
};
// One for each packet; all of the same size. Empty when ffmpeg complains.
std::vector<DecodedPicture> Decode(absl::Span<const Packet> packets);

// The same of a file, whose pictures are all of this size.
std::vector<DecodedPicture> DecodeFile(const std::string& path, int width,
                                       int height);

// What a decoder would show of a picture.
DecodedPicture Visible(const Picture& picture);
// "" when no sample of the two is further apart than `tolerance`; else where
// the first one is.
std::string Difference(const DecodedPicture& got, const DecodedPicture& want,
                       int tolerance);

// "key=value" lines of the first stream.
std::string ProbeStream(absl::Span<const Packet> packets);

// The NAL unit types of a packet, in order; empty when the framing is broken.
std::vector<int> NalTypes(const Packet& packet);

}  // namespace kine
