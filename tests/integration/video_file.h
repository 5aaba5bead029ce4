// What a recorded file shows, as the ffmpeg and ffprobe programs decode it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "daemon/base/clock.h"
#include "tests/integration/json_value.h"

namespace kine {

struct VideoPicture {
  int width = 0;
  int height = 0;
  double seconds = 0;  // From the first one.
  // Of the test pattern; none where it cannot be read.
  std::optional<uint32_t> number;
  std::optional<MonoTime> time;
};

struct VideoFile {
  // ffprobe and `ffmpeg -xerror` said nothing and exited with 0.
  bool clean = false;
  std::string complaints;
  double duration = 0;  // Seconds.
  std::vector<VideoPicture> pictures;

  // Their numbers, each once where a picture that had become still was refined.
  // A failure for one that cannot be read.
  std::vector<uint32_t> Numbers() const;
};

// Decodes all of it. Adds a failure unless it is clean and has a picture.
VideoFile Decode(const std::string& path);

// How many numbers are missing between the first and the last. Adds a failure
// when they do not increase strictly.
uint64_t MissingNumbers(const std::vector<uint32_t>& numbers);

// As MissingNumbers(), of a file whose final state is given. Adds a failure
// when more is missing than the state admits to have lost.
uint64_t MissingPictures(const VideoFile& video, const Json& state);

// The last picture as rows of R, G, B, by ffmpeg's own BT.709 conversion. Empty
// when it fails.
std::string LastPictureRgb(const std::string& path);

// The damaged macroblocks of each sample, as the final index keeps them (the
// `stdp` box: bits 0-14).
std::vector<int> DamagedMacroblocks(const std::string& path);

}  // namespace kine
