// FakeSource: plays a script of pictures and mishaps on its loop, and counts
// the frames it lent out and got back.
//
//   FakeSourceLog log;
//   log.script = {{absl::Milliseconds(33), FakeSourceEvent::kFrame}, ...};
//   ... [&](SourceOptions, Loop& loop) {
//         return std::make_unique<FakeSource>(loop, log); }
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "capture/frame_source.h"
#include "daemon/base/loop.h"

namespace kine {

struct FakeSourceEvent {
  enum Kind {
    kFrame,       // Changed all over.
    kStillFrame,  // A picture that looks like the one before.
    kOldFrame,    // Stamped before the one before.
    kDrainedTwo,  // Two pictures at once: the older is lost in the drain.
    kCorrupted,   // Counted, not lent.
    kGap,         // The source's own numbers jump.
    kPointer,     // It moved: one pixel to the right each time.
    kNewSize,     // OnFormat with another size.
    kLost,        // OnLost.
    kBack,        // OnFormat after it.
    kUnfinished,  // OnNeverFinished.
    kFailed,      // OnFailed; nothing follows.
  };
  absl::Duration after;  // Since the event before.
  Kind kind = kFrame;
};

// What a test sets and looks at; outlives the source and its frames.
struct FakeSourceLog {
  std::vector<FakeSourceEvent> script;
  // How long OnStopped comes after Stop().
  absl::Duration stop_takes;
  // What the source can lend besides memory; it takes the first that is
  // imported.
  std::vector<uint64_t> modifiers;

  // It tells of the pointer instead of painting it.
  bool tells_pointer = false;

  // Every SetImports().
  std::vector<std::vector<DmabufFormat>> imports;
  // Every SetFpsMax().
  std::vector<double> fps_max;

  int sources_alive = 0;
  int frames_lent = 0;
  int frames_back = 0;
  SourceStats stats;
};

class FakeSource final : public FrameSource {
 public:
  FakeSource(Loop& loop, FakeSourceLog& log);
  ~FakeSource() override;

  void SetImports(std::vector<DmabufFormat> imports) override;
  void SetFpsMax(double fps_max) override { log_.fps_max.push_back(fps_max); }
  void Start(Client& client) override;
  void Stop() override;
  SourceStats stats() const override { return log_.stats; }

 private:
  void Next();
  void Play(FakeSourceEvent::Kind kind);
  void Announce();
  void Lend(absl::Duration age, bool damaged);

  Loop& loop_;
  FakeSourceLog& log_;
  Client* client_ = nullptr;
  std::optional<uint64_t> modifier_;  // Of dmabufs; none: memory.
  size_t position_ = 0;
  int width_ = 64;
  int pointer_x_ = 0;
  uint64_t buffer_ = 0;
  LoopHandle renegotiate_;
  LoopHandle timer_;
};

}  // namespace kine
