// What is written into the timeline of a recording that runs.
#include <algorithm>
#include <string>
#include <utility>

#include "absl/algorithm/container.h"
#include "daemon/base/limits/timeline.h"
#include "daemon/control/recording_run.h"
#include "ipc/json_out.h"

namespace kine {
namespace {

absl::Status NoLog() {
  return absl::UnavailableError(
      "the recording has no event log to keep this in; the daemon's log says "
      "why");
}

}  // namespace

int64_t RecordingRun::MediaNow() const {
  if (!record_.first_frame_mono_us) return 0;
  const int64_t elapsed =
      context_.loop.clock().Now().micros() - *record_.first_frame_mono_us;
  return std::max<int64_t>(0, timeline_.MediaAt(elapsed));
}

void RecordingRun::Log(absl::string_view type, absl::string_view data,
                       AppendLog::Done done) {
  const Clock& clock = context_.loop.clock();
  const std::string line =
      LogLine(clock.Wall(), clock.Now().micros(), type, data);
  timeline_.AddLine(line);
  if (events_ == nullptr || log_closing_) {
    if (done) done(NoLog());
  } else if (done) {
    events_->AppendNow(line, std::move(done));
  } else {
    // Its errors are reported by the log itself, once.
    (void)events_->Append(line);
  }
}

void RecordingRun::AddMarker(const MarkerRequest& request,
                             const std::string& key, MarkerDone done) {
  MediaClock clock;
  clock.first_frame_at = *record_.first_frame_at;
  clock.first_frame_mono_us = record_.first_frame_mono_us;
  clock.now_mono_us = context_.loop.clock().Now().micros();
  absl::StatusOr<Timeline::Accepted> accepted =
      timeline_.Accept(request, key, clock);
  if (!accepted.ok()) return done(accepted.status());
  NoteActivity();
  if (accepted->attached) {
    if (events_ == nullptr) return done(NoLog());
    // The first one's line may still be on its way.
    return events_->Sync([accepted = *accepted,
                          done = std::move(done)](absl::Status status) mutable {
      if (status.ok())
        done(std::move(accepted));
      else
        done(std::move(status));
    });
  }
  Log(kMarkerType, MarkerData(accepted->marker),
      [this, accepted = *accepted,
       done = std::move(done)](absl::Status status) mutable {
        if (!status.ok()) return done(std::move(status));
        TellMarker(accepted.marker);
        done(std::move(accepted));
      });
}

void RecordingRun::SaveManifest(ManifestWriter::Done done) {
  if (manifest_ == nullptr)
    return done(absl::FailedPreconditionError(
        "the recording is only being started; try again"));
  manifest_->Save(ManifestOf(record_), std::move(done));
}

void RecordingRun::NoteActivity() {
  const MonoTime now = context_.loop.clock().Now();
  if (idle_) idle_->Note();
  if (recorder_ == nullptr || finished_ || !accepted_) return;
  if (activity_told_ &&
      now - *activity_told_ < absl::Milliseconds(limits::kActivityTellMs))
    return;
  activity_told_ = now;
  recorder_->Send(link::ToRecorder(link::Activity{record_.id}));
}

void RecordingRun::AddCommand(CommandSpan command) {
  if (timeline_.commands().size() >= limits::kCommandChaptersMax) return;
  command.media_us = MediaNow();
  LogNow(kCommandType, CommandData(command));
}

void RecordingRun::EndCommand(CommandSpan command) {
  // Above the limit its start was left out.
  const auto is_meant = [&](const CommandSpan& known) {
    return known.process == command.process && !known.end_media_us;
  };
  if (absl::c_none_of(timeline_.commands(), is_meant)) return;
  command.end_media_us = MediaNow();
  LogNow(kCommandType, CommandData(command));
}

void RecordingRun::LogNow(absl::string_view type, absl::string_view data) {
  Log(type, data);
  // The recorder may finish the file at any time. An error is the log's own.
  if (events_ != nullptr && !log_closing_) events_->Flush([](absl::Status) {});
}

void RecordingRun::SendStop() {
  const auto send = [this] {
    if (!log_deadline_.active()) return;
    log_deadline_.Cancel();
    const auto reason = link::EndReasonFromName(record_.pending_reason);
    if (recorder_ != nullptr)
      recorder_->Send(link::ToRecorder(
          link::Stop{record_.id, reason.value_or(link::EndReason::kStopped)}));
  };
  // A disk that hangs delays no stop.
  log_deadline_ = LoopHandle(
      context_.loop, context_.loop.PostAfter(
                         absl::Milliseconds(limits::kLogBeforeStopMs), send));
  if (events_ == nullptr || log_closing_) return send();
  events_->Flush([send](absl::Status) { send(); });
}

void RecordingRun::TellMarker(const Marker& marker) {
  client_.OnRunEvent(*this, kMarkerType, MarkerEvent(record_.id, marker));
}

std::string MarkerEvent(absl::string_view id, const Marker& marker) {
  std::string data;
  JsonOut out(data);
  out.BeginObject();
  out.Field("id", id);
  out.Field("number", marker.number);
  out.Field("label", marker.label);
  out.Field("kind", MarkerKindName(marker.kind));
  out.Field("media_us", marker.media_us);
  out.Field("duration_us", marker.duration_us);
  out.End();
  return data;
}

}  // namespace kine
