// Timelines of the catalogue's recordings: those that run keep theirs in
// memory, those that have ended theirs on the disk.
#include <fcntl.h>

#include <memory>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/log.h"
#include "daemon/base/record_text.h"
#include "daemon/base/status.h"
#include "daemon/control/catalogue_table.h"
#include "daemon/storage/append_log.h"
#include "daemon/storage/blocking_io.h"
#include "daemon/storage/directory.h"
#include "ipc/problem.h"

namespace kine {
namespace {

// A marker of a recording that nobody writes to any more: behind what its log
// holds. Blocks.
absl::StatusOr<Timeline::Accepted> AppendMarker(
    StateDir& state_dir, const std::string& id, const MarkerRequest& request,
    const std::string& key, const MediaClock& clock, absl::Time wall,
    int64_t mono_us) {
  KINE_ASSIGN_OR_RETURN(const UniqueFd directory, state_dir.OpenRecording(id));
  KINE_ASSIGN_OR_RETURN(const Timeline timeline, ReadTimeline(directory.get()));
  KINE_ASSIGN_OR_RETURN(Timeline::Accepted accepted,
                        timeline.Accept(request, key, clock));
  if (accepted.attached) return accepted;
  KINE_ASSIGN_OR_RETURN(const UniqueFd log,
                        OpenBeneath(directory.get(), kEventLogName,
                                    O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  KINE_ASSIGN_OR_RETURN(const LogSummary summary, RecoverAppendLog(log.get()));
  const std::string line = SealLine(
      LogLine(wall, mono_us, kMarkerType, MarkerData(accepted.marker)));
  KINE_RETURN_IF_ERROR(WriteFully(log.get(), summary.good_bytes,
                                  std::as_bytes(std::span(line))));
  KINE_RETURN_IF_ERROR(SyncData(log.get()));
  KINE_RETURN_IF_ERROR(SyncDirectory(directory.get()));
  return accepted;
}

// FAILED_PRECONDITION where there is no picture to mark.
absl::Status MayMark(const RecordingRecord& record) {
  if (record.state != RecordingState::kStarting &&
      record.state != RecordingState::kFailed && record.first_frame_at)
    return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "recording ", Quoted(record.id), " is ", RecordingStateName(record.state),
      record.state == RecordingState::kStarting
          ? ": it has no picture yet; wait for `first_frame`"
          : ": there is no picture to mark"));
}

}  // namespace

bool Catalogue::Runs(const Entry& entry) {
  const RecordingState state = entry.record.state;
  // What happens now is no part of a replay.
  return entry.run != nullptr && !entry.record.replay &&
         (state == RecordingState::kStarting ||
          state == RecordingState::kRecording ||
          state == RecordingState::kPaused);
}

void Catalogue::AddMarker(absl::string_view id, const Viewer& viewer,
                          MarkerRequest request, std::string key,
                          MarkerAnswer answer) {
  Entry* entry = FindEntry(id, viewer);
  if (entry == nullptr) return answer(NoSuchRecording(id));
  const RecordingState state = entry->record.state;
  const bool runs =
      state == RecordingState::kRecording || state == RecordingState::kPaused;
  if (entry->run != nullptr && !runs && state != RecordingState::kStarting) {
    // Its log is being brought to its end; afterwards it is written here.
    entry->when_retired.push_back(
        [this, id = std::string(id), viewer, request = std::move(request),
         key = std::move(key), answer = std::move(answer)]() mutable {
          AddMarker(id, viewer, std::move(request), std::move(key),
                    std::move(answer));
        });
    return;
  }
  if (absl::Status status = MayMark(entry->record); !status.ok())
    return answer(std::move(status));
  if (runs) return entry->run->AddMarker(request, key, std::move(answer));
  AddLateMarker(*entry, std::move(request), std::move(key), std::move(answer));
}

void Catalogue::AddLateMarker(Entry& entry, MarkerRequest request,
                              std::string key, MarkerAnswer answer) {
  MediaClock media;
  media.first_frame_at = *entry.record.first_frame_at;
  media.first_frame_mono_us = entry.record.first_frame_mono_us;
  media.end_us = entry.record.duration_us;
  const Clock& clock = context_.loop.clock();
  // The worker writes it, the callback reads it; never at the same time.
  auto result = std::make_shared<absl::StatusOr<Timeline::Accepted>>(
      absl::InternalError("unset"));
  context_.file_io.Run(
      [result, &state_dir = context_.state_dir, id = entry.record.id,
       request = std::move(request), key = std::move(key), media,
       wall = clock.Wall(), mono_us = clock.Now().micros()] {
        *result =
            AppendMarker(state_dir, id, request, key, media, wall, mono_us);
        return result->status();
      },
      [this, self = self_, id = entry.record.id,
       generation = entry.record.generation(), result,
       answer = std::move(answer)](absl::Status status) mutable {
        if (*self == nullptr)
          return answer(absl::UnavailableError("the daemon is stopping"));
        Entry* now = FindEntry(id, Viewer{"", true});
        if (now == nullptr || now->record.generation() != generation)
          return answer(NoSuchRecording(id));
        if (!status.ok())
          return answer(WithContext("cannot keep the marker", status));
        if (!(*result)->attached) {
          ++now->record.late_markers;
          SaveFinished(*now, [id](absl::Status saved) {
            // It may have been deleted meanwhile.
            if (!saved.ok() && !absl::IsNotFound(saved))
              LogWarning(
                  absl::StrCat("recording ", Quoted(id),
                               ": manifest, ignoring: ", saved.message()));
          });
          events_.Publish(kMarkerType, MarkerEvent(id, (*result)->marker),
                          now->record.owner);
        }
        answer(*std::move(*result));
      });
}

absl::StatusOr<int> Catalogue::NoteActivity(absl::string_view id,
                                            const Viewer& viewer) {
  Entry* entry = FindEntry(id, viewer);
  if (entry == nullptr) return NoSuchRecording(id);
  if (!Runs(*entry))
    return absl::FailedPreconditionError(absl::StrCat(
        "recording ", Quoted(entry->record.id), " is ",
        RecordingStateName(entry->record.state), ": it does not run"));
  entry->run->NoteActivity();
  return 1;
}

int Catalogue::NoteActivity(const Viewer& viewer) {
  int noted = 0;
  for (Entry* entry : table_->running) {
    if (!Runs(*entry) || (!viewer.all && entry->record.owner != viewer.owner))
      continue;
    entry->run->NoteActivity();
    ++noted;
  }
  return noted;
}

absl::Status Catalogue::CheckCommand(const std::string& recording_id,
                                     const std::string& owner) const {
  const Entry* entry = FindEntry(recording_id, Viewer{owner});
  if (entry == nullptr)
    return WithProblem(
        FieldError(
            "recording_id",
            absl::StrCat("there is no recording ", Quoted(recording_id),
                         " of this owner; GET /v1/recordings lists them")),
        404, "not_found");
  if (Runs(*entry)) return absl::OkStatus();
  return WithProblem(
      FieldError("recording_id",
                 absl::StrCat("recording ", Quoted(recording_id), " is ",
                              RecordingStateName(entry->record.state),
                              "; name one that runs, or none")),
      409, "wrong_state");
}

std::vector<std::string> Catalogue::AddCommand(const std::string& owner,
                                               const std::string& recording_id,
                                               CommandSpan command) {
  std::vector<std::string> ids;
  for (Entry* entry : table_->running) {
    const RecordingRecord& record = entry->record;
    if (record.owner != owner || !Runs(*entry)) continue;
    if (!recording_id.empty() && record.id != recording_id) continue;
    entry->run->AddCommand(command);
    ids.push_back(record.id);
  }
  return ids;
}

void Catalogue::EndCommand(const std::vector<std::string>& recordings,
                           CommandSpan command) {
  for (Entry* entry : table_->running)
    if (Runs(*entry) && absl::c_linear_search(recordings, entry->record.id))
      entry->run->EndCommand(command);
}

void Catalogue::ReadTimeline(absl::string_view id, const Viewer& viewer,
                             TimelineAnswer answer) {
  Entry* entry = FindEntry(id, viewer);
  if (entry == nullptr) return answer(NoSuchRecording(id), Timeline(), 0);
  if (entry->run != nullptr && !entry->recovering) {
    const RecordingRecord& record = entry->record;
    const bool runs = record.state == RecordingState::kRecording ||
                      record.state == RecordingState::kPaused;
    return answer(&record, entry->run->timeline(),
                  runs
                      ? entry->run->MediaNow()
                      : std::max(record.duration_us, record.counters.media_us));
  }
  auto result =
      std::make_shared<absl::StatusOr<Timeline>>(absl::InternalError("unset"));
  context_.file_io.Run(
      [result, &state_dir = context_.state_dir,
       id = entry->record.id]() -> absl::Status {
        KINE_ASSIGN_OR_RETURN(const UniqueFd directory,
                              state_dir.OpenRecording(id));
        *result = kine::ReadTimeline(directory.get());
        return result->status();
      },
      [this, self = self_, id = entry->record.id, viewer, result,
       answer = std::move(answer)](absl::Status status) mutable {
        if (*self == nullptr)
          return answer(absl::UnavailableError("the daemon is stopping"),
                        Timeline(), 0);
        const Entry* now = FindEntry(id, viewer);
        if (now == nullptr) return answer(NoSuchRecording(id), Timeline(), 0);
        if (!status.ok())
          return answer(WithContext("cannot read the timeline", status),
                        Timeline(), 0);
        answer(&now->record, **result, now->record.duration_us);
      });
}

}  // namespace kine
