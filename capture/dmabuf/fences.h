// When a DMA-BUF's picture is finished: its producer hands it on while the GPU
// still draws, and the kernel knows when that ends.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "capture/frame.h"
#include "daemon/base/fd.h"
#include "daemon/base/loop.h"

namespace kine {

// So many pictures in a row that were not finished within limits::kFenceMs (1 s
// each): the producer's fences never signal. A reset of the GPU is over by
// then, and no source has been given up (limits::kSourceGraceMs, 10 s).
inline constexpr int kFenceTimeoutsMax = 3;

// What a reader of `frame` must still wait for: descriptors that become
// readable. Never blocks. Empty for memory, and where everything is finished.
// A kernel without DMA_BUF_IOCTL_EXPORT_SYNC_FILE (before 6.0) is asked by
// poll() on the buffer itself, which waits for later work on it as well.
std::vector<UniqueFd> PendingFences(const Frame& frame);

// Hands frames on in order, each when its fences have signalled. One is waited
// for and one stands behind it, which a newer one replaces: so a GPU that is
// late costs frames, but never all of them, and two buffers at most.
//
// Thread: the loop's. The callbacks are called from Put() and from the loop;
// they may call Clear(), and nothing may destroy this inside them.
class FenceGate {
 public:
  enum class Lost {
    kReplaced,  // By a newer one.
    kTimeout,   // Not finished within limits::kFenceMs.
  };

  FenceGate(Loop& loop, std::function<void(Frame)> ready,
            std::function<void(Lost)> lost);

  // `fences` as PendingFences() gave them.
  void Put(Frame frame, std::vector<UniqueFd> fences);
  // Gives up what waits: the buffers are going.
  void Clear();
  // How many frames ended as kTimeout since the last one that was handed on, or
  // Clear().
  int timeouts() const { return timeouts_; }

 private:
  struct Entry {
    Frame frame;
    std::vector<UniqueFd> fences;
  };

  // Waits for `first_`, or hands it on.
  void Advance();
  void HandOn(Frame frame);

  Loop& loop_;
  const std::function<void(Frame)> ready_;
  const std::function<void(Lost)> lost_;
  std::optional<Entry> first_;
  std::optional<Entry> next_;
  // A frame was lost and its damage with it: the next is damaged all over.
  bool damage_lost_ = false;
  int timeouts_ = 0;
  LoopHandle watch_;
  LoopHandle timeout_;
};

}  // namespace kine
