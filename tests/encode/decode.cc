#include "tests/encode/decode.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"

namespace kine {
namespace {

// AVCC to Annex B, in a file that goes away with this.
class AnnexBFile {
 public:
  explicit AnnexBFile(absl::Span<const Packet> packets) {
    const char* const dir = std::getenv("TMPDIR");
    path_ = absl::StrCat(dir != nullptr ? dir : "/tmp", "/kine-XXXXXX");
    const int fd = mkstemp(path_.data());
    std::FILE* const file = fdopen(fd, "wb");
    for (const Packet& packet : packets) {
      const auto* const bytes =
          reinterpret_cast<const uint8_t*>(packet.data.data());
      for (size_t at = 0; at + 4 <= packet.data.size();) {
        const size_t length = static_cast<size_t>(bytes[at]) << 24 |
                              static_cast<size_t>(bytes[at + 1]) << 16 |
                              static_cast<size_t>(bytes[at + 2]) << 8 |
                              bytes[at + 3];
        std::fwrite("\0\0\0\1", 1, 4, file);
        std::fwrite(bytes + at + 4, 1, length, file);
        at += 4 + length;
      }
    }
    std::fclose(file);
  }
  ~AnnexBFile() { unlink(path_.c_str()); }
  AnnexBFile(const AnnexBFile&) = delete;
  AnnexBFile& operator=(const AnnexBFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Standard output and standard error of a shell command.
std::string OutputOf(const std::string& command) {
  std::string all;
  std::FILE* const pipe = popen(command.c_str(), "re");
  if (pipe == nullptr) return all;
  char buffer[65536];
  for (size_t n = 0; (n = std::fread(buffer, 1, sizeof(buffer), pipe)) > 0;) {
    all.append(buffer, n);
  }
  if (pclose(pipe) != 0) all.clear();
  return all;
}

std::vector<DecodedPicture> DecodeFile(const std::string& input,
                                       const std::string& path, int width,
                                       int height) {
  const std::string bytes = OutputOf(
      absl::StrCat("ffmpeg -nostdin -v error -xerror -threads 1 ", input, path,
                   " -vsync passthrough -pix_fmt nv12 -f rawvideo "
                   "- 2>/dev/null"));
  const size_t pixels =
      static_cast<size_t>(width) * static_cast<size_t>(height);
  const size_t size = pixels * 3 / 2;
  std::vector<DecodedPicture> pictures;
  for (size_t at = 0; at + size <= bytes.size(); at += size) {
    DecodedPicture& picture = pictures.emplace_back();
    picture.width = width;
    picture.height = height;
    const auto* const from =
        reinterpret_cast<const uint8_t*>(bytes.data()) + at;
    picture.luma.assign(from, from + pixels);
    picture.chroma.assign(from + pixels, from + size);
  }
  return pictures;
}

std::string FirstBeyond(const std::vector<uint8_t>& got,
                        const std::vector<uint8_t>& want, int width,
                        int tolerance) {
  if (got.size() != want.size()) {
    return absl::StrCat(got.size(), " samples, not ", want.size());
  }
  if (got == want) return "";
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::abs(got[i] - want[i]) <= tolerance) continue;
    const auto stride = static_cast<size_t>(width);
    return absl::StrCat("sample ", i % stride, ", row ", i / stride, ": ",
                        got[i], ", not ", want[i]);
  }
  return "";
}

}  // namespace

bool HaveFfmpeg() {
  return !OutputOf("ffmpeg -version 2>/dev/null").empty() &&
         !OutputOf("ffprobe -version 2>/dev/null").empty();
}

std::vector<DecodedPicture> Decode(absl::Span<const Packet> packets) {
  const AnnexBFile file(packets);
  return DecodeFile("-f h264 -i ", file.path(), packets[0].width,
                    packets[0].height);
}

std::vector<DecodedPicture> DecodeFile(const std::string& path, int width,
                                       int height) {
  return DecodeFile("-i ", path, width, height);
}

DecodedPicture Visible(const Picture& picture) {
  DecodedPicture visible;
  visible.width = picture.width();
  visible.height = picture.height();
  for (int y = 0; y < visible.height; ++y) {
    const uint8_t* const luma = picture.luma() + y * picture.stride();
    visible.luma.insert(visible.luma.end(), luma, luma + visible.width);
    if (y % 2 != 0) continue;
    const uint8_t* const chroma = picture.chroma() + y / 2 * picture.stride();
    visible.chroma.insert(visible.chroma.end(), chroma, chroma + visible.width);
  }
  return visible;
}

std::string Difference(const DecodedPicture& got, const DecodedPicture& want,
                       int tolerance) {
  const std::string luma =
      FirstBeyond(got.luma, want.luma, want.width, tolerance);
  if (!luma.empty()) return absl::StrCat("luma: ", luma);
  const std::string chroma =
      FirstBeyond(got.chroma, want.chroma, want.width, tolerance);
  return chroma.empty() ? "" : absl::StrCat("chroma: ", chroma);
}

std::string ProbeStream(absl::Span<const Packet> packets) {
  const AnnexBFile file(packets);
  return OutputOf(absl::StrCat(
      "ffprobe -v error -f h264 -show_streams -of flat=s=_ ", file.path()));
}

std::vector<int> NalTypes(const Packet& packet) {
  std::vector<int> types;
  const auto* const bytes =
      reinterpret_cast<const uint8_t*>(packet.data.data());
  size_t at = 0;
  while (at + 5 <= packet.data.size()) {
    const size_t length = static_cast<size_t>(bytes[at]) << 24 |
                          static_cast<size_t>(bytes[at + 1]) << 16 |
                          static_cast<size_t>(bytes[at + 2]) << 8 |
                          bytes[at + 3];
    types.push_back(bytes[at + 4] & 31);
    at += 4 + length;
  }
  if (at != packet.data.size()) types.clear();
  return types;
}

}  // namespace kine
