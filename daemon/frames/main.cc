// kinescope-frames: pictures out of a recording, finished or growing, decoded
// in a sandbox.
//
//   kinescope-frames --at_media_us=N|--busiest [--format=png|jpeg|i420]
//   kinescope-frames --all --format=i420
//     descriptor 3: the MP4, read only; descriptor 4: where the pictures go (a
//     memfd, a file or a pipe). --true_width, --true_height cut the padding of
//     an odd size. --recorded_us=N: a finished file's own times are compact,
//     and it was recorded for so long; times are recorded ones then.
//     --durable_bytes=N: so much of a growing file need not be checked.
//
// i420: the planes Y, U and V of each picture, rows without gaps, an odd edge's
// chroma rounded up. Standard output: one JSON object, {"frames", "width",
// "height", "time_us", "bytes"}, of the last picture; or {"error", "code"}, the
// latter as in absl/status/status.h. Exit codes: 0 done, 1 cannot (the reason
// is on standard error, too), 2 wrong command line; killed by SIGALRM: longer
// than limits::kFramesMs.
//
// Not for people: kinescoped and kinectl run it.
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/limits.h"
#include "daemon/base/status.h"
#include "daemon/frames/extract.h"
#include "daemon/frames/jpeg.h"
#include "daemon/frames/png.h"
#include "daemon/frames/sandbox.h"
#include "daemon/recorder/fd_byte_source.h"

ABSL_FLAG(int64_t, at_media_us, -1, "the picture shown at this time");
ABSL_FLAG(bool, busiest, false, "the picture with most damage, instead");
ABSL_FLAG(bool, all, false, "every picture, instead");
ABSL_FLAG(int64_t, recorded_us, 0,
          "a finished file's times are compact; it was recorded so long");
ABSL_FLAG(uint64_t, durable_bytes, 0, "of a growing file: known to be whole");
ABSL_FLAG(std::string, format, "png", "png, jpeg or i420");
ABSL_FLAG(int, true_width, 0, "of an odd picture: cuts its padding");
ABSL_FLAG(int, true_height, 0, "of an odd picture: cuts its padding");

namespace kine::frames {
namespace {

constexpr int kInput = 3;
constexpr int kOutput = 4;

absl::Status WriteOut(const char* data, size_t size) {
  while (size > 0) {
    const ssize_t n = ::write(kOutput, data, size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, "write to descriptor 4");
    data += n;
    size -= static_cast<size_t>(n);
  }
  return absl::OkStatus();
}

std::string ToI420(const DecodedPicture& picture) {
  std::string out;
  for (int plane = 0; plane < 3; ++plane) {
    const int width = plane == 0 ? picture.width : (picture.width + 1) / 2;
    const int height = plane == 0 ? picture.height : (picture.height + 1) / 2;
    for (int y = 0; y < height; ++y)
      out.append(reinterpret_cast<const char*>(picture.planes[plane] +
                                               y * picture.strides[plane]),
                 static_cast<size_t>(width));
  }
  return out;
}

absl::StatusOr<std::string> InFormat(const std::string& format,
                                     const DecodedPicture& picture) {
  if (format == "png") return ToPng(picture);
  if (format == "jpeg") return ToJpeg(picture);
  return ToI420(picture);
}

absl::Status Run(const ExtractRequest& request, const std::string& format) {
  KINE_ASSIGN_OR_RETURN(FdByteSource file, FdByteSource::Open(kInput));
  KINE_RETURN_IF_ERROR(
      EnterSandbox({absl::Milliseconds(limits::kFramesMs),
                    limits::kFramesMemoryBytes, limits::kFramesOutputBytes}));
  uint64_t frames = 0;
  uint64_t bytes = 0;
  Extracted last;
  KINE_RETURN_IF_ERROR(
      Extract(file, request, [&](const Extracted& e) -> absl::Status {
        KINE_ASSIGN_OR_RETURN(const std::string out,
                              InFormat(format, e.picture));
        ++frames;
        bytes += out.size();
        last = e;
        return WriteOut(out.data(), out.size());
      }));
  std::printf(
      "{\"frames\":%llu,\"width\":%d,\"height\":%d,\"time_us\":%lld,"
      "\"bytes\":%llu}\n",
      static_cast<unsigned long long>(frames), last.picture.width,
      last.picture.height, static_cast<long long>(last.time_us),
      static_cast<unsigned long long>(bytes));
  return absl::OkStatus();
}

// The words are ours and libavcodec's; quotes and controls are in none of them.
void PrintError(const absl::Status& status) {
  std::string text(status.message());
  for (char& letter : text)
    if (letter == '"' || letter == '\\' ||
        static_cast<unsigned char>(letter) < 32)
      letter = '?';
  std::printf("{\"error\":\"%s\",\"code\":%d}\n", text.c_str(),
              static_cast<int>(status.code()));
  // An answer that nobody reads is the exit code's to tell.
  std::fflush(stdout);
}

int Main() {
  const int64_t at = absl::GetFlag(FLAGS_at_media_us);
  const bool all = absl::GetFlag(FLAGS_all);
  const std::string format = absl::GetFlag(FLAGS_format);
  const char* wrong = nullptr;
  const bool busiest = absl::GetFlag(FLAGS_busiest);
  if (format != "png" && format != "jpeg" && format != "i420")
    wrong = "--format: must be png, jpeg or i420";
  if (all && format != "i420") wrong = "--all: only with --format=i420";
  if (int{all} + int{busiest} + int{at >= 0} != 1)
    wrong = "give one of --at_media_us=N, --busiest and --all";
  if (wrong != nullptr) {
    std::fprintf(stderr, "kinescope-frames: %s\n", wrong);
    return 2;
  }
  ExtractRequest request;
  if (at >= 0) request.at_us = at;
  request.busiest = busiest;
  request.recorded_us = absl::GetFlag(FLAGS_recorded_us);
  request.durable_bytes = absl::GetFlag(FLAGS_durable_bytes);
  request.true_width = absl::GetFlag(FLAGS_true_width);
  request.true_height = absl::GetFlag(FLAGS_true_height);
  const absl::Status status = Run(request, format);
  if (status.ok()) return std::fflush(stdout) == 0 ? 0 : 1;
  std::fprintf(stderr, "kinescope-frames: %s\n",
               std::string(status.message()).c_str());
  PrintError(status);
  return 1;
}

}  // namespace
}  // namespace kine::frames

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(
      "pictures out of a recording; run by kinescoped and kinectl");
  absl::ParseCommandLine(argc, argv);
  return kine::frames::Main();
}
