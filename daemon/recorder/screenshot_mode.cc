// --screenshot: what a source shows now.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "capture/create_source.h"
#include "capture/pixel_format.h"
#include "daemon/base/epoll_loop.h"
#include "daemon/base/limits/pictures.h"
#include "daemon/base/status.h"
#include "daemon/recorder/one_shot_modes.h"
#include "daemon/recorder/png_rows.h"
#include "daemon/recorder/source_spec.h"
#include "encode/frame_reader.h"
#include "ipc/json_out.h"
#include "ipc/recording_request.h"

namespace kine {
namespace {

// Keeps a source's first picture.
class FirstPicture final : public FrameSource::Client {
 public:
  explicit FirstPicture(EpollLoop& loop) : loop_(loop) {}

  const std::optional<Frame>& frame() const { return frame_; }
  const absl::Status& status() const { return status_; }
  bool stopped() const { return stopped_; }
  void Fail(absl::Status status) {
    if (!frame_.has_value() && status_.ok()) status_ = std::move(status);
    loop_.Quit();
  }
  void GiveBack() { frame_.reset(); }

 private:
  void OnFormat(const VideoFormat&, const SourceDescription&) override {}
  void OnFrame(Frame frame) override {
    if (!frame_.has_value()) frame_ = std::move(frame);
    loop_.Quit();
  }
  void OnNeverFinished(const VideoFormat&) override {}
  void OnCursor(const CursorUpdate&) override {}
  void OnLost(absl::Status reason) override { Fail(std::move(reason)); }
  void OnFailed(absl::Status reason) override { Fail(std::move(reason)); }
  void OnStopped() override {
    stopped_ = true;
    loop_.Quit();
  }

  EpollLoop& loop_;
  std::optional<Frame> frame_;
  absl::Status status_;
  bool stopped_ = false;
};

// Where R, G and B are in a pixel of 4 bytes.
struct Order {
  int red, green, blue;
};

absl::StatusOr<Order> OrderOf(uint32_t fourcc) {
  const PixelFormatInfo* const info = FindPixelFormat(fourcc);
  if (info == nullptr || info->yuv || info->bytes_per_pixel != 4)
    return absl::UnimplementedError(
        absl::StrCat("the source gives ", PixelFormatName(fourcc),
                     "; screenshots know formats of 4 bytes R, G, B only"));
  const auto at = [info](char letter) {
    return static_cast<int>(info->name.find(letter));
  };
  return Order{at('R'), at('G'), at('B')};
}

// Of the pixels that fall into each one of the target their mean.
class Scaler {
 public:
  Scaler(const FrameReader& reader, Order order, int width, int height)
      : reader_(reader),
        order_(order),
        width_(width),
        height_(height),
        scratch_(4 * static_cast<size_t>(reader.width())),
        sums_(3 * static_cast<size_t>(width)) {}

  void Row(int y, uint8_t* rgb) {
    const int top = Source(y, height_, reader_.height());
    const int bottom =
        std::max(top + 1, Source(y + 1, height_, reader_.height()));
    std::fill(sums_.begin(), sums_.end(), 0);
    for (int line = top; line < bottom; ++line) AddRow(line);
    for (int x = 0; x < width_; ++x) {
      const auto count =
          static_cast<uint32_t>((bottom - top) * (Right(x) - Left(x)));
      for (int i = 0; i < 3; ++i)
        rgb[3 * x + i] = static_cast<uint8_t>(
            (sums_[static_cast<size_t>(3 * x + i)] + count / 2) / count);
    }
  }

 private:
  static int Source(int at, int size, int source) {
    return static_cast<int>(int64_t{at} * source / size);
  }
  int Left(int x) const { return Source(x, width_, reader_.width()); }
  int Right(int x) const { return std::max(Left(x) + 1, Left(x + 1)); }

  void AddRow(int line) {
    const uint8_t* const row =
        reader_.Row(0, line, reader_.width(), scratch_.data());
    for (int x = 0; x < width_; ++x) {
      uint32_t* const sum = &sums_[static_cast<size_t>(3 * x)];
      for (int from = Left(x); from < Right(x); ++from) {
        const uint8_t* const pixel = row + 4 * from;
        sum[0] += pixel[order_.red];
        sum[1] += pixel[order_.green];
        sum[2] += pixel[order_.blue];
      }
    }
  }

  const FrameReader& reader_;
  const Order order_;
  const int width_;
  const int height_;
  std::vector<uint8_t> scratch_;
  std::vector<uint32_t> sums_;
};

// The other side of a scaled picture keeps its shape.
int Other(int side, int of, int other) {
  return std::max(1, static_cast<int>((int64_t{side} * other + of / 2) / of));
}

absl::Status WriteOut(int fd, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, "write of the picture");
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> WritePng(const Frame& frame, int width, int height,
                                  int out_fd) {
  KINE_ASSIGN_OR_RETURN(const FrameReader reader, FrameReader::Open(frame));
  KINE_ASSIGN_OR_RETURN(const Order order, OrderOf(frame.format.fourcc));
  if (width == 0 && height == 0) {
    width = reader.width();
    height = reader.height();
  } else if (width == 0) {
    width = Other(height, reader.height(), reader.width());
  } else if (height == 0) {
    height = Other(width, reader.width(), reader.height());
  }
  // Never enlarged: there is nothing more to see, and it costs.
  width = std::min(width, reader.width());
  height = std::min(height, reader.height());
  Scaler scaler(reader, order, width, height);
  KINE_ASSIGN_OR_RETURN(const std::string png,
                        PngOf(width, height, [&scaler](int y, uint8_t* rgb) {
                          scaler.Row(y, rgb);
                        }));
  KINE_RETURN_IF_ERROR(WriteOut(out_fd, png));
  return png.size();
}

absl::StatusOr<uint64_t> TakeScreenshot(int out_fd, const std::string& request,
                                        int width, int height) {
  KINE_ASSIGN_OR_RETURN(const RecordingRequest parsed,
                        ParseRecordingRequest(request));
  KINE_ASSIGN_OR_RETURN(const std::unique_ptr<EpollLoop> loop,
                        EpollLoop::Create());
  SourceOptions options;
  options.spec = ToSourceSpec(parsed.settings.source, "");
  KINE_ASSIGN_OR_RETURN(const std::unique_ptr<FrameSource> source,
                        CreateSource(std::move(options), *loop));
  FirstPicture first(*loop);
  LoopHandle deadline(
      *loop, loop->PostAfter(absl::Milliseconds(limits::kScreenshotMs), [&] {
        first.Fail(absl::DeadlineExceededError(absl::StrCat(
            "no picture came within ", limits::kScreenshotMs,
            " ms: the desktop stands still, or a person must consent")));
      }));
  source->SetImports({});  // Memory, which can be read here.
  source->Start(first);
  loop->Run();
  deadline.Cancel();
  absl::StatusOr<uint64_t> bytes = absl::InternalError("the source ended");
  if (first.frame().has_value())
    bytes = WritePng(*first.frame(), width, height, out_fd);
  else if (!first.status().ok())
    bytes = first.status();
  first.GiveBack();
  source->Stop();
  while (!first.stopped()) loop->Run();
  return bytes;
}

}  // namespace

std::string ScreenshotJson(int out_fd, const std::string& request, int width,
                           int height) {
  const absl::StatusOr<uint64_t> bytes =
      TakeScreenshot(out_fd, request, width, height);
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  if (bytes.ok()) {
    out.Field("bytes", *bytes);
  } else {
    out.Field("error", bytes.status().message());
    out.Field("unsupported", absl::IsUnimplemented(bytes.status()));
  }
  out.End();
  return text;
}

}  // namespace kine
