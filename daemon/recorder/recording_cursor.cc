// The pointer's side of a Recording.
#include <utility>

#include "daemon/recorder/cursor/cursor_files.h"
#include "daemon/recorder/recording.h"

namespace kine {

std::unique_ptr<CursorTrack> Recording::MakeCursorTrack(
    const Environment& environment, RecordingFiles& files) {
  if (!files.cursor.ok()) {
    if (!absl::IsNotFound(files.cursor.status()))
      no_cursor_ = files.cursor.status();
    return nullptr;
  }
  CursorTrack::Options options;
  options.asked_embedded =
      CursorOf(start_.settings) == RecordingSettings::Cursor::kEmbedded;
  if (const auto& crop = start_.settings.crop)
    options.crop = Rect{crop->x, crop->y, crop->width, crop->height};
  return std::make_unique<CursorTrack>(
      environment.loop, environment.file_io, files.directory.get(),
      *std::move(files.cursor), options,
      // As the picture's time is told: what is shown together is equal.
      [this](MonoTime time) { return TicksToMicros(writer_.Ticks(time)); },
      [this](absl::Status why) {
        TellFallback("cursor_file", kCursorFileName, "none", why.message());
      });
}

void Recording::OnCursor(const CursorBatch& batch) {
  if (cursor_ != nullptr && state_ < RecordingState::kFinalising)
    cursor_->Add(batch);
}

link::CursorFile Recording::cursor() const {
  return cursor_ == nullptr ? link::CursorFile() : cursor_->counts();
}

}  // namespace kine
