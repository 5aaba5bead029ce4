#include "tests/va/raw_video.h"

#include <algorithm>
#include <fstream>
#include <random>

#include "absl/strings/str_cat.h"
#include "tests/integration/process.h"

namespace kine {

std::string MovingBlockVideo(int width, int height, int frames) {
  std::mt19937 random(1);
  const auto bytes = static_cast<size_t>(width * height * 3 / 2);
  std::string background(bytes, '\0');
  // Two zeros in a row among others: emulation prevention has something to do.
  for (char& byte : background)
    byte = static_cast<char>(random() % 8 == 0 ? 0 : random());
  std::string video;
  for (int i = 0; i < frames; ++i) {
    std::string frame = background;
    const int left = i * 7 % (width - 8);
    const int top = i * 5 % (height - 8);
    for (int y = top; y < top + 8; ++y) {
      for (int x = left; x < left + 8; ++x)
        frame[static_cast<size_t>(y * width + x)] = static_cast<char>(random());
    }
    video += frame;
  }
  return video;
}

void WriteWholeFile(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::string DecodeAnnexB(const std::string& path) {
  const ProgramResult result =
      RunProgram({"ffmpeg", "-v", "error", "-xerror", "-threads", "1", "-f",
                  "h264", "-i", path, "-vsync", "passthrough", "-pix_fmt",
                  "nv12", "-f", "rawvideo", "-"});
  return result.code == 0 && result.err.empty() ? result.out : "";
}

std::string FirstDifference(const std::string& got, const std::string& want,
                            int width, int height) {
  if (got == want) return "";
  const auto frame = static_cast<size_t>(width * height * 3 / 2);
  if (got.size() != want.size())
    return absl::StrCat(got.size() / frame, " frames instead of ",
                        want.size() / frame, ", ", got.size(), " bytes");
  const auto at = static_cast<size_t>(
      std::mismatch(got.begin(), got.end(), want.begin()).first - got.begin());
  return absl::StrCat("frame ", at / frame, " differs at byte ", at % frame);
}

}  // namespace kine
