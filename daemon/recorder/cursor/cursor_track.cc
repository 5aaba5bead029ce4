#include "daemon/recorder/cursor/cursor_track.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "daemon/base/check.h"

namespace kine {

CursorTrack::CursorTrack(Loop& loop, FileIo& file_io, int dir_fd, UniqueFd file,
                         const Options& options, MediaTime media_time,
                         FileIo::Done on_failure)
    : options_(options),
      media_time_(std::move(media_time)),
      writer_(loop, file_io, dir_fd, std::move(file), options.bytes_max,
              std::move(on_failure)) {}

void CursorTrack::SetSource(bool embedded) { embedded_ = embedded; }

void CursorTrack::Begin(MonoTime first, int width, int height) {
  KINE_CHECK(!begun_);
  begun_ = true;
  picture_ = {embedded_, width, height};
  writer_.Begin(picture_, options_.asked_embedded);
  std::deque<CursorState> early = std::exchange(early_, {});
  // How it was at the beginning; then what happened since.
  while (early.size() > 1 && early[1].time <= first) early.pop_front();
  for (CursorState& state : early) {
    state.time = std::max(state.time, first);
    Take(state);
  }
}

void CursorTrack::SetPictureSize(MonoTime when, int width, int height) {
  const CursorWriter::Picture picture{embedded_, width, height};
  if (picture == picture_) return;
  picture_ = picture;
  writer_.SetPicture(TimeOf(when), picture);
}

void CursorTrack::Add(const CursorBatch& batch) {
  if (embedded_) return;
  writer_.AddDropped(batch.merged);
  const std::vector<CursorState>& states = batch.states;
  for (size_t i = 0; i < states.size(); ++i) {
    const CursorState& state = states[i];
    // Both were in the pause that is over: the newer one counts.
    if (i + 1 < states.size() && states[i + 1].time <= resumed_) continue;
    if (begun_) {
      Take(state);
      continue;
    }
    if (early_.size() == limits::kCursorEarlyStatesMax) early_.pop_front();
    early_.push_back(state);
  }
}

void CursorTrack::Take(const CursorState& state) {
  if (end_.has_value() && state.time > *end_) return;
  if (paused_since_.has_value() && state.time >= *paused_since_) {
    held_ = state;
  } else {
    Put(std::max(state.time, resumed_), state);
  }
}

void CursorTrack::Pause(MonoTime when) { paused_since_ = when; }

void CursorTrack::Resume(MonoTime when) {
  paused_since_.reset();
  resumed_ = when;
  if (const auto held = std::exchange(held_, std::nullopt)) Put(when, *held);
}

void CursorTrack::Put(MonoTime when, const CursorState& state) {
  const Rect whole{0, 0, state.width, state.height};
  const Rect part = Intersect(options_.crop.value_or(whole), whole);
  if (part.empty()) return;  // Nothing of it is recorded.
  CursorWriter::Pointer pointer;
  pointer.visible = state.visible;
  pointer.x = static_cast<double>(state.x - part.x) / part.width;
  pointer.y = static_cast<double>(state.y - part.y) / part.height;
  pointer.image = state.image;
  writer_.Put(TimeOf(when), pointer);
}

int64_t CursorTrack::TimeOf(MonoTime when) {
  last_us_ = std::max(last_us_, media_time_(when));
  return last_us_;
}

void CursorTrack::Close(absl::AnyInvocable<void()> changed) {
  writer_.Close(std::move(changed));
}

}  // namespace kine
