// CursorFeed: what a source says about the pointer, in batches for control.
//
//   Add()* -> send(batch) -> ... -> Flush() -> send(the rest)
//
// Threads: the source loop's, but for Taken(). `send` hands a batch to another
// loop, which calls Taken() once for each; until then the next one waits and
// grows no further than limits::kCursorBatchStatesMax: then moves between two
// others are left out, and counted. A shape that comes or a pointer that goes
// is never left out for a move.
//
// A shape is copied, and named, once, however many recordings there are.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "capture/cursor.h"
#include "daemon/base/loop.h"
#include "daemon/recorder/cursor/cursor_state.h"

namespace kine {

class CursorFeed {
 public:
  using Send = absl::AnyInvocable<void(CursorBatch batch)>;

  // `source` outlives this.
  CursorFeed(Loop& source, Send send);
  CursorFeed(const CursorFeed&) = delete;
  CursorFeed& operator=(const CursorFeed&) = delete;

  void Add(const CursorUpdate& update);
  // The last one that was told, shared with the batches; null before any.
  std::shared_ptr<const CursorShape> shape() const {
    if (image_ == nullptr) return nullptr;
    return {image_, &image_->shape};
  }
  // Sends what waits, also when the last batch was not taken yet: for who
  // leaves, behind everything that was told before.
  void Flush();
  // Any thread.
  void Taken() { --out_; }

 private:
  void Arm();
  void SendBatch();

  Loop& source_;
  Send send_;
  std::shared_ptr<const CursorImage> image_;
  CursorBatch batch_;
  std::atomic<int> out_ = 0;

  // Last, so that it is cancelled first.
  LoopHandle timer_;
};

// The name of its file: see CursorImage.
std::string CursorHash(const CursorShape& shape);

}  // namespace kine
