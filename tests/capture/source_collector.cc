#include "tests/capture/source_collector.h"

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <utility>

namespace kine {

SourceCollector::SourceCollector(const Make& make) {
  thread_ = *LoopThread::Start("source");
  RunOnLoop([&] {
    source_ = make(thread_->loop());
    source_->Start(*this);
  });
}

SourceCollector::~SourceCollector() {
  if (source_ != nullptr) {
    Stop();
    DestroySource();
  }
  state_.last = Frame();
  state_.kept.clear();
  thread_.reset();
}

bool SourceCollector::WaitFor(const std::function<bool(const State&)>& until) {
  std::unique_lock<std::mutex> lock(mutex_);
  return changed_.wait_until(
      lock, std::chrono::steady_clock::now() + std::chrono::seconds(20),
      [&] { return until(state_); });
}

void SourceCollector::With(const std::function<void(State&)>& use) {
  std::lock_guard<std::mutex> lock(mutex_);
  use(state_);
}

void SourceCollector::RunOnLoop(const std::function<void()>& task) {
  std::promise<void> done;
  thread_->loop().Post([&] {
    task();
    done.set_value();
  });
  done.get_future().wait();
}

SourceStats SourceCollector::stats() {
  SourceStats stats;
  RunOnLoop([&] { stats = source_->stats(); });
  return stats;
}

void SourceCollector::Stop() {
  bool stopped = false;
  With([&](State& state) { stopped = state.stopped; });
  if (stopped) return;
  RunOnLoop([&] { source_->Stop(); });
  WaitFor([](const State& state) { return state.stopped; });
}

void SourceCollector::DestroySource() {
  RunOnLoop([&] { source_.reset(); });
}

void SourceCollector::OnFormat(const VideoFormat& format,
                               const SourceDescription& description) {
  std::lock_guard<std::mutex> lock(mutex_);
  state_.formats.push_back({format, description});
  state_.frames = 0;
  changed_.notify_all();
}

void SourceCollector::OnNeverFinished(const VideoFormat&) {
  ADD_FAILURE() << "what no fence is on is finished";
}

void SourceCollector::OnFrame(Frame frame) {
  std::lock_guard<std::mutex> lock(mutex_);
  // PipeWire has a data thread that must never come here.
  EXPECT_TRUE(thread_->loop().IsCurrent());
  ++state_.frames;
  if (state_.formats.empty() || !(state_.formats.back().format == frame.format))
    ++state_.frames_other_size;
  if (frame.time < state_.last.time) ++state_.times_backwards;
  if (state_.keep) {
    state_.kept.push_back(std::move(frame));
  } else {
    state_.last = std::move(frame);
  }
  changed_.notify_all();
}

void SourceCollector::OnCursor(const CursorUpdate& update) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (update.shape != nullptr) state_.shapes.push_back(*update.shape);
  state_.cursors.push_back(update);
  state_.cursors.back().shape = nullptr;
  changed_.notify_all();
}

void SourceCollector::OnLost(absl::Status reason) {
  std::lock_guard<std::mutex> lock(mutex_);
  state_.lost.push_back(std::move(reason));
  changed_.notify_all();
}

void SourceCollector::OnFailed(absl::Status reason) {
  std::lock_guard<std::mutex> lock(mutex_);
  state_.failed.push_back(std::move(reason));
  changed_.notify_all();
}

void SourceCollector::OnStopped() {
  std::lock_guard<std::mutex> lock(mutex_);
  state_.stopped = true;
  changed_.notify_all();
}

}  // namespace kine
