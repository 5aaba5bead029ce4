#include "tests/integration/video_file.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "daemon/base/limits.h"
#include "tests/fakes/frame_numbers.h"
#include "tests/integration/process.h"

namespace kine {
namespace {

// A picture that stays for so long is encoded again, better.
constexpr double kRefinedAfterSeconds =
    static_cast<double>(limits::kRefineAfterMs) / 1000 - 0.02;

uint32_t BigEndian(const std::string& bytes, size_t at, size_t count) {
  uint32_t value = 0;
  for (size_t i = 0; i < count && at + i < bytes.size(); ++i)
    value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

// ffprobe 5.1 reads a text track of chapters, and then warns that it has no
// decoder for it.
std::string WithoutChapterTrack(const std::string& complaints) {
  std::string out;
  for (const absl::string_view line :
       absl::StrSplit(complaints, '\n', absl::SkipEmpty()))
    if (!absl::StartsWith(line, "Unsupported codec with id 98314 "))
      absl::StrAppend(&out, line, "\n");
  return out;
}

// Sizes and times, by ffprobe.
void Probe(const std::string& path, VideoFile& video) {
  const ProgramResult probe = RunProgram(
      {"ffprobe", "-v", "warning", "-select_streams", "v:0", "-show_entries",
       "frame=width,height,pts_time:format=duration", "-of", "compact", path});
  video.complaints = WithoutChapterTrack(probe.err);
  video.clean = probe.code == 0 && video.complaints.empty();
  std::istringstream lines(probe.out);
  for (std::string line; std::getline(lines, line);) {
    VideoPicture picture;
    bool is_picture = false;
    for (const std::string& entry :
         std::vector<std::string>(absl::StrSplit(line, '|'))) {
      const std::pair<std::string, std::string> pair =
          absl::StrSplit(entry, absl::MaxSplits('=', 1));
      is_picture = is_picture || entry == "frame";
      bool good = true;
      if (pair.first == "width")
        good = absl::SimpleAtoi(pair.second, &picture.width);
      else if (pair.first == "height")
        good = absl::SimpleAtoi(pair.second, &picture.height);
      else if (pair.first == "pts_time")
        good = absl::SimpleAtod(pair.second, &picture.seconds);
      else if (pair.first == "duration")
        good = absl::SimpleAtod(pair.second, &video.duration);
      if (!good) video.complaints += line;
    }
    if (is_picture) video.pictures.push_back(picture);
  }
}

}  // namespace

std::vector<uint32_t> VideoFile::Numbers() const {
  std::vector<uint32_t> numbers;
  double shown_since = 0;
  for (size_t i = 0; i < pictures.size(); ++i) {
    EXPECT_TRUE(pictures[i].number.has_value()) << "in picture " << i;
    const uint32_t number = pictures[i].number.value_or(0);
    if (!numbers.empty() && number == numbers.back() &&
        pictures[i].seconds - shown_since >= kRefinedAfterSeconds)
      continue;
    numbers.push_back(number);
    shown_since = pictures[i].seconds;
  }
  return numbers;
}

VideoFile Decode(const std::string& path) {
  VideoFile video;
  Probe(path, video);
  const RunDirectory directory;
  const ProgramResult decoded =
      RunProgram({"ffmpeg", "-nostdin", "-v", "warning", "-xerror", "-i", path,
                  "-an", "-autoscale", "0", "-fps_mode", "passthrough",
                  "-enc_time_base", "1:90000", "-pix_fmt", "gray", "-f",
                  "rawvideo", directory.File("gray")});
  video.complaints += decoded.err;
  video.clean = video.clean && decoded.code == 0 && decoded.err.empty();
  const std::string gray = ReadWholeFile(directory.File("gray"));
  size_t at = 0;
  for (VideoPicture& picture : video.pictures) {
    const size_t bytes = static_cast<size_t>(picture.width) *
                         static_cast<size_t>(picture.height);
    if (at + bytes > gray.size()) break;
    const GrayPicture look{reinterpret_cast<const std::byte*>(gray.data()) + at,
                           static_cast<size_t>(picture.width), picture.width,
                           picture.height};
    picture.number = ReadFrameNumber(look);
    picture.time = ReadFrameTime(look);
    at += bytes;
  }
  EXPECT_EQ(at, gray.size()) << "ffmpeg and ffprobe see different pictures";
  EXPECT_TRUE(video.clean) << path << ": " << video.complaints;
  EXPECT_FALSE(video.pictures.empty()) << path;
  return video;
}

uint64_t MissingNumbers(const std::vector<uint32_t>& numbers) {
  uint64_t missing = 0;
  for (size_t i = 1; i < numbers.size(); ++i) {
    EXPECT_GT(numbers[i], numbers[i - 1]) << "at picture " << i;
    missing += numbers[i] - numbers[i - 1] - 1;
  }
  return missing;
}

uint64_t MissingPictures(const VideoFile& video, const Json& state) {
  const uint64_t missing = MissingNumbers(video.Numbers());
  EXPECT_LE(missing, static_cast<uint64_t>(state.Int("frames.lost_overload") +
                                           state.Int("frames.lost_in_source")))
      << state.text();
  return missing;
}

std::string LastPictureRgb(const std::string& path) {
  const RunDirectory directory;
  const std::string ppm = directory.File("last.rgb");
  // -update keeps the last of all that are written.
  const ProgramResult decoded = RunProgram(
      {"ffmpeg", "-nostdin", "-v", "error", "-xerror", "-i", path, "-vf",
       "scale=in_color_matrix=bt709:in_range=tv:out_range=pc,format=rgb24",
       "-f", "image2", "-c:v", "rawvideo", "-update", "1", ppm});
  EXPECT_EQ(decoded.code, 0) << decoded.err;
  return ReadWholeFile(ppm);
}

std::vector<int> DamagedMacroblocks(const std::string& path) {
  // The index is in front: the first box of that name is the one.
  const std::string bytes = ReadWholeFile(path);
  const size_t at = bytes.find("stdp");
  std::vector<int> blocks;
  if (at == std::string::npos || at < 4) return blocks;
  const size_t end = at - 4 + BigEndian(bytes, at - 4, 4);
  for (size_t i = at + 8; i + 2 <= end && i + 2 <= bytes.size(); i += 2)
    blocks.push_back(static_cast<int>(BigEndian(bytes, i, 2) & 0x7fff));
  return blocks;
}

}  // namespace kine
