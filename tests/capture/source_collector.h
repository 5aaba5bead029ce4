// A source on a thread of its own, and what it said, for tests with real
// servers.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "capture/frame_source.h"
#include "daemon/base/loop_thread.h"

namespace kine {

// Everything is called on the test's thread but the Client's methods.
class SourceCollector final : public FrameSource::Client {
 public:
  struct Format {
    VideoFormat format;
    SourceDescription description;
  };
  struct State {
    std::vector<Format> formats;
    std::vector<absl::Status> lost;
    std::vector<absl::Status> failed;
    std::vector<CursorUpdate> cursors;
    std::vector<CursorShape> shapes;
    uint64_t frames = 0;             // Since the last format.
    uint64_t frames_other_size = 0;  // Of another size than announced.
    uint64_t times_backwards = 0;
    Frame last;
    // While true, frames are kept instead of given back.
    bool keep = false;
    std::vector<Frame> kept;
    bool stopped = false;
  };
  using Make = std::function<std::unique_ptr<FrameSource>(Loop&)>;

  explicit SourceCollector(const Make& make);
  // Stops the source and waits for OnStopped.
  ~SourceCollector() override;

  // False when `until` did not come true in 20 s.
  bool WaitFor(const std::function<bool(const State&)>& until);
  // With the state locked.
  void With(const std::function<void(State&)>& use);
  void RunOnLoop(const std::function<void()>& task);
  SourceStats stats();
  void Stop();
  // Destroys the source (after Stop()); the frames stay.
  void DestroySource();

  void OnFormat(const VideoFormat& format,
                const SourceDescription& description) override;
  void OnFrame(Frame frame) override;
  void OnNeverFinished(const VideoFormat& format) override;
  void OnCursor(const CursorUpdate& update) override;
  void OnLost(absl::Status reason) override;
  void OnFailed(absl::Status reason) override;
  void OnStopped() override;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  State state_;
  std::unique_ptr<LoopThread> thread_;
  std::unique_ptr<FrameSource> source_;
};

}  // namespace kine
