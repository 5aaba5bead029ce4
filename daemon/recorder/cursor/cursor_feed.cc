#include "daemon/recorder/cursor/cursor_feed.h"

#include <span>
#include <utility>

#include "absl/time/time.h"
#include "daemon/base/limits/cursor.h"
#include "daemon/digest/sha256.h"
#include "encode/picture/macroblock_map.h"

namespace kine {
namespace {

constexpr size_t kHashDigits = 32;

// The pointer is where else, and no more.
bool OnlyMoved(const CursorState& from, const CursorState& to) {
  return from.visible == to.visible && from.image == to.image &&
         from.width == to.width && from.height == to.height;
}

// Every second move between two others, or, where nothing moves so, the last.
void Thin(CursorBatch& batch) {
  std::vector<CursorState>& all = batch.states;
  std::vector<bool> left_out(all.size(), false);
  for (size_t i = 1; i + 1 < all.size(); ++i)
    left_out[i] = !left_out[i - 1] && OnlyMoved(all[i - 1], all[i]) &&
                  OnlyMoved(all[i], all[i + 1]);
  std::vector<CursorState> kept;
  for (size_t i = 0; i < all.size(); ++i)
    if (!left_out[i]) kept.push_back(std::move(all[i]));
  if (kept.size() == all.size()) kept.pop_back();
  batch.merged += all.size() - kept.size();
  all = std::move(kept);
}

CursorState StateOf(const CursorUpdate& update) {
  CursorState state;
  state.time = update.time;
  state.visible = update.visible;
  const TransformMap map(update.transform, update.width, update.height);
  const Rect upright = map.ToUpright(Rect{update.x, update.y, 1, 1});
  state.x = upright.x;
  state.y = upright.y;
  state.width = map.width();
  state.height = map.height();
  return state;
}

}  // namespace

CursorFeed::CursorFeed(Loop& source, Send send)
    : source_(source), send_(std::move(send)) {}

void CursorFeed::Add(const CursorUpdate& update) {
  if (update.shape != nullptr) {
    image_ = std::make_shared<const CursorImage>(
        CursorImage{*update.shape, CursorHash(*update.shape)});
  }
  if (batch_.states.size() == limits::kCursorBatchStatesMax) Thin(batch_);
  batch_.states.push_back(StateOf(update));
  batch_.states.back().image = image_;
  if (!timer_.active()) Arm();
}

void CursorFeed::Arm() {
  timer_ = LoopHandle(
      source_,
      source_.PostAfter(absl::Milliseconds(limits::kCursorBatchMs), [this] {
        timer_.Cancel();
        // Control has other things to do: what comes meanwhile goes with this.
        if (out_ > 0) return Arm();
        SendBatch();
      }));
}

void CursorFeed::Flush() {
  timer_.Cancel();
  if (!batch_.states.empty()) SendBatch();
}

void CursorFeed::SendBatch() {
  ++out_;
  send_(std::exchange(batch_, {}));
}

std::string CursorHash(const CursorShape& shape) {
  const int32_t numbers[] = {shape.width, shape.height, shape.hotspot_x,
                             shape.hotspot_y};
  Sha256 hash;
  hash.Add(std::as_bytes(std::span(numbers)));
  hash.Add(shape.bgra);
  return hash.Finish().substr(0, kHashDigits);
}

}  // namespace kine
