// Real H.264 from the ffmpeg command line, and real players to show it to. Each
// picture carries its number as a bar code that survives scaling.
//
// All of it blocks; every command runs under a deadline (kPlayerSeconds).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "encode/mp4/fragment_layout.h"
#include "tests/mp4/test_recording.h"

namespace kine::mp4 {

inline constexpr int kPlayerSeconds = 60;

// A directory that goes with the object.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  std::string File(const std::string& name) const { return path_ + "/" + name; }
  std::string Write(const std::string& name, const ByteVector& bytes) const;

 private:
  std::string path_;
};

bool HaveCommand(const std::string& name);

struct Output {
  int exit_code = -1;
  std::string out;
  std::string err;
};
// Runs a shell command.
Output RunCommand(const std::string& command, const TempDir& dir);

// Pictures number `first` to `first + count - 1`, a keyframe every 15. Times
// and priorities are the caller's to fill in. Empty when ffmpeg cannot.
std::vector<Sample> EncodePictures(int width, int height, int first, int count,
                                   const TempDir& dir);

// Each player's list of the numbers it showed, -1 for one that cannot be read;
// nothing when the player reported an error.
using Numbers = std::optional<std::vector<int>>;
Numbers PlayFfmpeg(const std::string& file, bool strict, const TempDir& dir);
Numbers PlayGstreamer(const std::string& file, const TempDir& dir);

// The presentation times (90 kHz) of all packets and the duration in seconds.
struct Probe {
  std::vector<int64_t> times;
  double duration = 0;
  std::string complaints;
};
Probe ProbeFile(const std::string& file, const TempDir& dir);

// What Chromium's <video> made of one file.
struct WebResult {
  std::string file;
  std::string error;
  double duration = 0;
  std::vector<int> numbers;  // At each of the asked seconds.
};
struct WebCase {
  std::string file;
  std::vector<double> seconds;
};
// One run for all cases. Empty when Chromium did not answer.
std::vector<WebResult> PlayChromium(const std::vector<WebCase>& cases,
                                    const TempDir& dir);

}  // namespace kine::mp4
