// What a recorder says, and what it does to the record.
#include <string>
#include <utility>
#include <variant>

#include "daemon/base/limits.h"
#include "daemon/base/limits/replay.h"
#include "daemon/control/recording_run.h"
#include "ipc/json_out.h"

namespace kine {

void RecordingRun::OnRecorderMessage(link::ToDaemon message) {
  if (finished_) return;
  std::visit([this](auto& m) { On(m); }, message);
}

void RecordingRun::On(link::Accepted&) {
  accepted_ = true;
  if (record_.replay)
    ArmStart(limits::kReplaySaveMs, "the recorder did not save the replay");
  else if (!stop_sent_)
    deadline_.Cancel();
  MaybeStarted();
}

void RecordingRun::On(link::NeedsConsent&) {
  record_.needs_consent = true;
  TellState();
}

void RecordingRun::On(link::RestoreToken& message) {
  client_.OnRestoreToken(std::move(message.token));
}

void RecordingRun::On(link::Format& message) {
  record_.format = std::move(message);
  record_.needs_consent = false;
  record_.source_present = true;
  std::string data;
  JsonOut out(data);
  out.BeginObject();
  out.Field("id", record_.id);
  out.Field("kind", record_.format.source.kind);
  out.FieldIfAny("name", record_.format.source.name);
  out.Field("width", record_.format.width);
  out.Field("height", record_.format.height);
  out.Field("pixels", record_.format.pixels);
  out.End();
  Tell("recording.format", std::move(data));
}

void RecordingRun::On(link::FirstFrame& message) {
  record_.first_frame_at = absl::FromUnixMicros(message.wall_us);
  record_.first_frame_mono_us = message.mono_us;
  record_.true_width = message.true_width;
  record_.true_height = message.true_height;
  if (record_.state != RecordingState::kStarting) return;  // Stopped already.
  Step(RecordingState::kRecording);
  manifest_->Save(ManifestOf(record_), nullptr);
}

void RecordingRun::On(link::Head& message) {
  live_.OnHead(message);
  record_.head = std::move(message);
}

void RecordingRun::SetWatched(bool watched) {
  if (finished_ || recorder_ == nullptr) return;
  if (watched)
    recorder_->Send(link::ToRecorder(link::Watch{record_.id}));
  else
    recorder_->Send(link::ToRecorder(link::Unwatch{record_.id}));
}

void RecordingRun::On(link::Lost& message) {
  record_.source_present = false;
  record_.lost_reason = message.reason;
  std::string data;
  JsonOut out(data);
  out.BeginObject();
  out.Field("id", record_.id);
  out.Field("reason", message.reason);
  out.Field("media_us", message.media_us);
  out.Field("grace_ms", record_.request.settings.source_grace_ms);
  out.End();
  Tell("recording.source_lost", std::move(data));
}

void RecordingRun::On(link::Back& message) {
  record_.source_present = true;
  record_.lost_reason.clear();
  // Before the first picture there was nothing to have a gap in.
  if (record_.first_frame_at.has_value()) ++record_.gaps;
  std::string data;
  JsonOut out(data);
  out.BeginObject();
  out.Field("id", record_.id);
  out.Field("gap_us", message.gap_us);
  out.Field("media_us", message.media_us);
  out.End();
  Tell("recording.source_back", std::move(data));
}

void RecordingRun::SetPaused(bool paused) {
  if (pause_wanted_ == paused || finished_ || recorder_ == nullptr) return;
  pause_wanted_ = paused;
  NoteActivity();
  if (paused)
    recorder_->Send(link::ToRecorder(link::Pause{record_.id}));
  else
    recorder_->Send(link::ToRecorder(link::Resume{record_.id}));
}

void RecordingRun::On(link::Paused& message) {
  // The last progress is older.
  record_.counters.media_us = message.media_us;
  std::string data;
  JsonOut out(data);
  out.BeginObject();
  out.Field("id", record_.id);
  out.Field("media_us", message.media_us);
  out.Field("paused_at_us", message.mono_us);
  out.End();
  Tell("recording.paused", std::move(data));
  if (record_.state != RecordingState::kRecording) return;  // It ends.
  Step(RecordingState::kPaused);
  manifest_->Save(ManifestOf(record_), nullptr);
}

void RecordingRun::On(link::Resumed& message) {
  record_.paused_us += message.paused_us;
  std::string data;
  JsonOut out(data);
  out.BeginObject();
  out.Field("id", record_.id);
  out.Field("media_us", message.media_us);
  out.Field("resumed_at_us", message.mono_us);
  out.Field("paused_us", message.paused_us);
  out.End();
  Tell("recording.resumed", std::move(data));
  if (record_.state != RecordingState::kPaused) return;  // It ends.
  Step(RecordingState::kRecording);
  manifest_->Save(ManifestOf(record_), nullptr);
}

void RecordingRun::On(link::Fallback& message) {
  std::string data;
  JsonOut out(data);
  out.BeginObject();
  out.Field("id", record_.id);
  out.Field("what", message.what);
  out.Field("from", message.from);
  out.Field("to", message.to);
  out.Field("reason", message.reason);
  out.End();
  if (record_.fallbacks.size() < limits::kFallbacksMax)
    record_.fallbacks.push_back(std::move(message));
  Tell("recording.fallback", std::move(data));
}

void RecordingRun::On(link::Progress& message) {
  for (link::RecordingProgress& progress : message.recordings)
    if (progress.id == record_.id) {
      record_.counters = progress.counters;
      record_.cursor = progress.cursor;
      if (idle_)
        idle_->NoteAt(MonoTime::FromNanos(progress.active_mono_us * 1000));
    }
  client_.OnRunEvent(*this, "", "");
}

void RecordingRun::On(link::Finished& message) {
  if (message.id != record_.id) return;
  finished_ = true;
  live_.End();
  record_.counters = message.counters;
  record_.cursor = message.cursor;
  record_.bytes = message.bytes;
  record_.duration_us = message.duration_us;
  record_.compact_us = message.compact_us;
  record_.frames = message.frames;
  record_.finalise = message.finalise;
  record_.width = message.width;
  record_.height = message.height;
  record_.true_width = message.true_width;
  record_.true_height = message.true_height;
  record_.truncated = message.truncated;
  LeaveRecorder();
  const std::string reason = link::EndReasonName(message.reason);
  if (message.state == link::Finished::State::kFailed) {
    Fail(reason, message.message);
    return;
  }
  if (record_.state != RecordingState::kFinalizing) {
    record_.pending_reason = reason;
    Step(RecordingState::kFinalizing);
  }
  EndWith(RecordingState::kReady, reason, std::move(message.message));
}

}  // namespace kine
