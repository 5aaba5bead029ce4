// TestPatternSource: a moving page (capture/pattern.h) drawn in this process,
// at a steady rate, with exact damage, true times and a frame number that can
// be read back from a recording.
//
// Thread: constructed, used and destroyed on the source loop's thread; `loop`
// must outlive the frames that were lent out, too.
//
// Frame n is due n / fps seconds after the first one; its Frame::time, and the
// time drawn into it, say when it was due. A tick that comes late skips
// numbers, and so does one that finds all buffers lent out: both count as
// lost_in_source. Pattern kStill shows one frame and nothing more.
//
// Never fails and is never lost.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "capture/create_source.h"
#include "capture/frame_source.h"
#include "capture/pattern.h"
#include "daemon/base/loop.h"

namespace kine {

class TestPatternSource final : public FrameSource {
 public:
  // INVALID_ARGUMENT for a size or a rate outside of limits.h.
  static absl::StatusOr<std::unique_ptr<TestPatternSource>> Create(
      const TestPatternSpec& spec, Loop& loop);

  ~TestPatternSource() override;
  TestPatternSource(const TestPatternSource&) = delete;
  TestPatternSource& operator=(const TestPatternSource&) = delete;

  void SetImports(std::vector<DmabufFormat>) override {}
  void SetFpsMax(double) override {}
  void Start(Client& client) override;
  void Stop() override;
  SourceStats stats() const override { return stats_; }

 private:
  class Pool;

  TestPatternSource(const TestPatternSpec& spec, Loop& loop);
  void Announce();
  void Tick();
  void Deliver(uint64_t number, MonoTime due, MonoTime now);
  MonoTime DueTime(uint64_t number) const;
  // The newest frame that is due at `now`.
  uint64_t NumberAt(MonoTime now) const;

  const TestPatternSpec spec_;
  Loop& loop_;
  const PatternPicture picture_;
  const VideoFormat format_;
  // Owned; lives on alone while frames are lent out after this is destroyed.
  Pool* const pool_;
  Client* client_ = nullptr;
  SourceStats stats_;
  MonoTime start_;
  uint64_t next_number_ = 0;
  // The last frame that the client got, which damage is relative to.
  uint64_t delivered_number_ = 0;
  bool stopping_ = false;
  LoopHandle timer_;
};

}  // namespace kine
