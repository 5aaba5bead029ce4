// RecordingRecord: all that kinescoped knows of one recording, as a value; and
// its two texts, the manifest on the disk and the reply on the wire.
//
// Control loop only; no I/O.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "daemon/base/clock.h"
#include "daemon/control/recovery/recovery_report.h"
#include "daemon/control/replay/replay_request.h"
#include "ipc/link_messages.h"
#include "ipc/recording_request.h"

namespace kine {

// 1: what had no number, or one that was called `format`. 2: `recovery`.
inline constexpr int kManifestVersion = 2;

// A manifest is a few KiB; labels may make it larger.
inline constexpr size_t kManifestBytesMax = 256u << 10;

// The states of a recording. Only these steps exist:
//
//   starting -> recording -> finalizing -> ready
//       |            |  ^         |   \--> interrupted
//       |            v  |         |
//       |           paused -> finalizing
//       +--> finalizing           +--> failed
//       +--> failed
//
// ready, interrupted and failed are final.
enum class RecordingState {
  kStarting,
  kRecording,
  kPaused,
  kFinalizing,
  kReady,
  kInterrupted,
  kFailed,
};
inline constexpr RecordingState kRecordingStates[] = {
    RecordingState::kStarting, RecordingState::kRecording,
    RecordingState::kPaused,   RecordingState::kFinalizing,
    RecordingState::kReady,    RecordingState::kInterrupted,
    RecordingState::kFailed};

const char* RecordingStateName(RecordingState state);
std::optional<RecordingState> RecordingStateFromName(absl::string_view name);
// True until the recording has come to its end.
bool IsActive(RecordingState state);
// It has, and there is a file that plays.
bool IsFinished(RecordingState state);
// Whether the step exists.
bool CanStep(RecordingState from, RecordingState to);

struct RecordingRecord {
  std::string id;
  std::string owner;
  RecordingRequest request;
  // Of what was before it began: the request that made it, `request` being what
  // that comes to.
  std::optional<ReplayRequest> replay;
  RecordingState state = RecordingState::kStarting;
  // An EndReason's name, or recorder_died, daemon_restarted; "" while active.
  std::string reason;
  std::string message;  // For people; may be empty.
  bool truncated = false;

  absl::Time created_at;
  std::optional<absl::Time> first_frame_at;
  std::optional<int64_t> first_frame_mono_us;  // On this instance's clock.
  std::optional<absl::Time> finished_at;

  bool needs_consent = false;   // The portal may be asking a person.
  bool source_present = false;  // False before the first format and while lost.
  std::string lost_reason;
  int64_t gaps = 0;       // Times the source was lost and came back.
  int64_t paused_us = 0;  // Sum of the pauses that are over.

  link::Format format;         // Empty `source.kind` until the first one.
  std::string pending_reason;  // Why it is being finalised, before it is.
  link::Counters counters;
  link::CursorFile cursor;
  link::Head head;  // Of the growing file; empty before it is written.
  std::vector<link::Fallback> fallbacks;  // At most limits::kFallbacksMax.

  // Of the finished file.
  uint64_t bytes = 0;
  int64_t duration_us = 0;  // As it was recorded.
  int64_t compact_us = 0;   // Of a file that is compact itself; else 0.
  uint64_t frames = 0;
  link::Finished::Finalise finalise;
  int width = 0;
  int height = 0;
  int true_width = 0;
  int true_height = 0;
  std::optional<RecoveryReport> recovery;  // Of one that a crash ended.
  bool pinned = false;                     // Retention leaves it alone.
  int64_t late_markers = 0;  // Set after the file was finished: not in it.

  // Its own times are those of the compact view.
  bool compact() const { return compact_us > 0; }
  // Names this content: part of the ETag.
  int64_t generation() const { return absl::ToUnixMicros(created_at); }
};

// The strong ETag, quotes included, of a part of this content.
std::string EntityTag(const RecordingRecord& record, absl::string_view part);

// What the client asked for, canonical: the same id with the same text is the
// same recording.
std::string CanonicalRequestOf(const RecordingRecord& record);

// The manifest recording.json: everything that outlives the daemon.
std::string ManifestOf(const RecordingRecord& record);
// INVALID_ARGUMENT for a damaged one, UNIMPLEMENTED for one of a newer format.
// Members it does not know are ignored: within a format things are only added.
absl::StatusOr<RecordingRecord> ParseManifest(absl::string_view text);

// The reply to GET /v1/recordings/{id}; `attached` is added where given.
std::string StateReplyOf(const RecordingRecord& record,
                         std::optional<bool> attached);
void WriteStateReply(JsonOut& out, const RecordingRecord& record,
                     std::optional<bool> attached);

// Such replies, between them with every member that there is: for the document.
std::vector<std::string> StateReplySamples();
// A source of each kind, with all that can be said of it.
std::vector<SourceRequest> SourceSamples();

}  // namespace kine
