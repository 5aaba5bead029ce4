// CursorTrack: what a capture tells of the pointer, as one recording's: from
// its first picture to its end, without its pauses, in its picture.
//
//   [SetSource(), Add()]* -> Begin() -> (Add() | Pause() .. Resume())* -> End()
//     -> Close()
//
// What came before the first picture counts as what is there at its beginning;
// of what happens in a pause only how it ends. Events come a little later than
// they happened (cursor_feed.h): their time decides, not when they come.
//
// Control loop only. Destroy when quiet() (or after the FileIo).
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "absl/functional/any_invocable.h"
#include "capture/frame.h"
#include "daemon/base/clock.h"
#include "daemon/recorder/cursor/cursor_state.h"
#include "daemon/recorder/cursor/cursor_writer.h"

namespace kine {

class CursorTrack {
 public:
  // Where a moment is in the recording, in microseconds; any moment.
  using MediaTime = absl::AnyInvocable<int64_t(MonoTime time) const>;

  struct Options {
    bool asked_embedded = false;  // What the request wants.
    // The part of the upright picture that is recorded; none: all of it.
    std::optional<Rect> crop;
    uint64_t bytes_max = limits::kCursorFileBytesMax;
  };

  // See CursorWriter.
  CursorTrack(Loop& loop, FileIo& file_io, int dir_fd, UniqueFd file,
              const Options& options, MediaTime media_time,
              FileIo::Done on_failure);

  // Whether the source paints the pointer: then nothing it says is written.
  void SetSource(bool embedded);
  // The first picture, and its size.
  void Begin(MonoTime first, int width, int height);
  // Of the picture shown at `when`; may be the same.
  void SetPictureSize(MonoTime when, int width, int height);
  void Add(const CursorBatch& batch);
  void Pause(MonoTime when);
  void Resume(MonoTime when);
  // What happens after it is not the recording's.
  void End(MonoTime when) { end_ = when; }

  void Close(absl::AnyInvocable<void()> changed);
  bool over() const { return writer_.over(); }
  bool quiet() const { return writer_.quiet(); }
  link::CursorFile counts() const { return writer_.counts(); }

 private:
  void Take(const CursorState& state);
  void Put(MonoTime when, const CursorState& state);
  // Never before what was put.
  int64_t TimeOf(MonoTime when);

  const Options options_;
  const MediaTime media_time_;
  CursorWriter writer_;
  bool embedded_ = false;
  bool begun_ = false;
  CursorWriter::Picture picture_;
  std::deque<CursorState> early_;  // Before Begin().
  std::optional<MonoTime> paused_since_;
  std::optional<CursorState> held_;  // The newest of the pause.
  MonoTime resumed_;
  std::optional<MonoTime> end_;
  int64_t last_us_ = 0;
};

}  // namespace kine
