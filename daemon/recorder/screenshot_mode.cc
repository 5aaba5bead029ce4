// --screenshot: what a source shows now.
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "capture/create_source.h"
#include "daemon/base/epoll_loop.h"
#include "daemon/base/limits/pictures.h"
#include "daemon/base/status.h"
#include "daemon/recorder/frame_png.h"
#include "daemon/recorder/one_shot_modes.h"
#include "daemon/recorder/source_spec.h"
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

absl::StatusOr<WrittenPng> TakeScreenshot(int out_fd,
                                          const std::string& request, int width,
                                          int height) {
  KINE_ASSIGN_OR_RETURN(const RecordingRequest parsed,
                        ParseRecordingRequest(request));
  KINE_ASSIGN_OR_RETURN(const std::unique_ptr<EpollLoop> loop,
                        EpollLoop::Create());
  SourceOptions options;
  options.spec = ToSourceSpec(CaptureKeyOf(parsed.settings), "");
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
  absl::StatusOr<WrittenPng> png = absl::InternalError("the source ended");
  if (first.frame().has_value())
    png = WritePng(*first.frame(), width, height, out_fd);
  else if (!first.status().ok())
    png = first.status();
  first.GiveBack();
  source->Stop();
  while (!first.stopped()) loop->Run();
  return png;
}

}  // namespace

std::string ScreenshotJson(int out_fd, const std::string& request, int width,
                           int height) {
  const absl::StatusOr<WrittenPng> png =
      TakeScreenshot(out_fd, request, width, height);
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  if (png.ok()) {
    out.Field("bytes", png->bytes);
  } else {
    out.Field("error", png.status().message());
    out.Field("unsupported", absl::IsUnimplemented(png.status()));
  }
  out.End();
  return text;
}

}  // namespace kine
