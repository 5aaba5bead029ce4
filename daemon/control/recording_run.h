// RecordingRun: brings one recording from its start to its end: makes its
// directory, joins its source's recorder, follows what that says, stops it, has
// a dead recorder's file finalised, and keeps record, manifest and event log
// true.
//
//   Start() or Recover() -> OnRunChanged* -> OnRunEnded        (destroy then)
//
// Control loop only. `record` belongs to the client's entry and outlives the
// run; nobody else writes it meanwhile. Destroying a run before its end leaves
// the recorder and, for the next start to recover, what is on the disk.
//
// `done` and `retired` are one here: OnRunEnded comes when the final manifest
// is durable (or could not be written) and the event log is closed.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "daemon/base/fd.h"
#include "daemon/base/loop.h"
#include "daemon/control/live/live_feed.h"
#include "daemon/control/manifest_writer.h"
#include "daemon/control/one_shot.h"
#include "daemon/control/recorders/recorder_pool.h"
#include "daemon/control/recording_record.h"
#include "daemon/control/recovery/event_log_file.h"
#include "daemon/control/timeline/idle_watch.h"
#include "daemon/storage/append_log.h"
#include "daemon/storage/file_io.h"
#include "daemon/storage/state_dir.h"
#include "daemon/timeline/timeline.h"

namespace kine {

// Packets between encoder and disk, by profile.
struct QueuePackets {
  int instant;
  int other;
};

// What every run needs of the daemon. All of it outlives the runs.
struct RunContext {
  Loop& loop;
  Spawner& spawner;
  FileIo& file_io;
  StateDir& state_dir;
  RecorderPool& recorders;
  std::string recorder_path;  // For its one-shot modes.
  QueuePackets queue_packets;
  // What `auto` in a request means: --encoder.
  RecordingSettings::Encoder encoder = RecordingSettings::Encoder::kAuto;
};

// What a recording of a replay is made of.
struct ReplayStart {
  RecorderPool::Use* ring;  // Until the run has started.
  std::string id;           // The ring's.
  RecordingSettings settings;
  uint64_t bytes_max;  // Of the ring.
};

// What a start gets beside its request.
struct RunAdvice {
  std::string restore_token;
  // Why `auto` is software this time; empty: it is not.
  std::string no_hardware;
  // For a record with a replay.
  std::optional<ReplayStart> replay;
};

// `settings` as a recorder gets them: its encoder is none that the daemon still
// has to choose.
RecordingSettings ForRecorder(const RunContext& context,
                              RecordingSettings settings,
                              const RunAdvice& advice);

class RecordingRun final : private RecorderPool::User {
 public:
  class Client {
   public:
    virtual ~Client() = default;
    // The record changed. `event` (may be empty) is what to tell the world:
    // "recording.state" and so on, with `data`, a JSON object.
    virtual void OnRunEvent(RecordingRun& run, absl::string_view event,
                            std::string data) = 0;
    // The portal gave a token for its next start.
    virtual void OnRestoreToken(std::string token) = 0;
    // The recorder has acknowledged the start and the manifest is durable; or
    // the start failed. Once, for Start() only, before OnRunEnded.
    virtual void OnRunStarted(RecordingRun& run, absl::Status status) = 0;
    // Last. May destroy the run.
    virtual void OnRunEnded(RecordingRun& run) = 0;
  };

  RecordingRun(const RunContext& context, RecordingRecord& record,
               Client& client);
  ~RecordingRun() override;

  // A new recording: the record is `starting`.
  void Start(RunAdvice advice);
  // What a crash left: the record is as its manifest said. `reason` is
  // recorder_died or daemon_restarted.
  void Recover(absl::string_view reason);

  // Ends it, with a valid file. Repeatable; nothing when it is ending already,
  // and nothing of a replay, which ends by itself.
  void Stop(link::EndReason reason);
  // Asks the recorder; the state follows when it has done it. Repeatable.
  void SetPaused(bool paused);

  // Writes the record as it is now; `done` when it is durable. Until it begins
  // to end. FAILED_PRECONDITION before its directory is there.
  void SaveManifest(ManifestWriter::Done done);
  // Marks a moment of it, while it has pictures and does not end: `done` when
  // the marker is durable, or with the errors of Timeline::Accept().
  using MarkerDone =
      absl::AnyInvocable<void(absl::StatusOr<Timeline::Accepted>)>;
  void AddMarker(const MarkerRequest& request, const std::string& key,
                 MarkerDone done);
  // Its owner does something: the idle stop waits, and the pictures say so.
  void NoteActivity();
  // A command that belongs to it has started, ended: where it is now. Until it
  // begins to end; above limits::kCommandChaptersMax it is left out.
  void AddCommand(CommandSpan command);
  void EndCommand(CommandSpan command);
  // What happened since its start (not of one that is being recovered).
  const Timeline& timeline() const { return timeline_; }
  int64_t MediaNow() const;

  // The recording's directory, once it is open.
  const std::shared_ptr<const UniqueFd>& directory() const {
    return directory_;
  }
  // The memory in which its recorder traces (daemon/timeline/trace_ring.h);
  // none of one that is being recovered.
  const std::shared_ptr<const UniqueFd>& trace() const { return trace_; }
  RecordingRecord& record() { return record_; }
  LiveFeed& live() { return live_; }

 private:
  // Its directory with the event log in it, made or as a crash left them.
  struct Opened {
    absl::StatusOr<UniqueFd> directory = absl::InternalError("unset");
    absl::StatusOr<EventLogFile> log = absl::InternalError("unset");
  };
  void OpenDirectory(bool create);
  void OnDirectory(Opened opened, bool created);
  void OpenEventLog(absl::StatusOr<EventLogFile> log);
  void JoinRecorder();
  void ArmStart(int64_t millis, const char* late);
  void MaybeStarted();
  void OnRecorderMessage(link::ToDaemon message) override;
  void OnRecorderGone(absl::Status reason) override;
  void On(link::Hello&) {}
  void On(link::ReplayKept&) {}  // None of a recording's.
  void On(link::ReplayEnded&) {}
  void On(link::ShotTaken&) {}
  void On(link::ViewBuilt&) {}  // Never on a link.
  void On(link::Accepted&);
  void On(link::NeedsConsent&);
  void On(link::RestoreToken& message);
  void On(link::Format& message);
  void On(link::FirstFrame& message);
  void On(link::Head& message);
  void On(link::Fragment& message) { live_.OnFragment(std::move(message)); }
  void On(link::Lost& message);
  void On(link::Back& message);
  void On(link::Paused& message);
  void On(link::Resumed& message);
  void On(link::Fallback& message);
  void On(link::Progress& message);
  void On(link::Finished& message);
  // A crash, seen or found; `last_sign_us` of media time it is known to have
  // lived. FinaliseByOneShot() comes next.
  void BeginRecovery(absl::string_view reason, int64_t last_sign_us);
  void FinaliseByOneShot();
  void StartOneShot();
  void OnOneShot(absl::StatusOr<std::string> output);
  void Report(const link::Finished& finished);
  void TellRecovered();
  void Fail(std::string reason, std::string message);
  void EndWith(RecordingState state, std::string reason, std::string message);
  void OnFinalManifest(absl::Status status);
  void MaybeEnded();
  void Step(RecordingState state);
  void Tell(absl::string_view event, std::string data);
  void TellState();
  void TellMarker(const Marker& marker);
  // A line of the event log, for the recorder to read at once.
  void LogNow(absl::string_view type, absl::string_view data);
  // A line of the event log; with `done`, which gets the error too, durably.
  void Log(absl::string_view type, absl::string_view data,
           AppendLog::Done done = nullptr);

  const RunContext& context_;
  RecordingRecord& record_;
  Client& client_;
  std::shared_ptr<RecordingRun*> self_;

  std::shared_ptr<const UniqueFd> directory_;
  std::shared_ptr<const UniqueFd> trace_;
  std::unique_ptr<ManifestWriter> manifest_;
  std::unique_ptr<AppendLog> events_;
  Timeline timeline_;
  std::optional<IdleWatch> idle_;
  std::optional<MonoTime>
      activity_told_;  // To the recorder, for the last time.
  std::unique_ptr<RecorderPool::Use> recorder_;
  std::unique_ptr<OneShot> one_shot_;
  std::optional<RecoveryUnderWay> recovering_;
  LiveFeed live_;

  void SendStart();
  // For when it has ended.
  void KeepItsTrace();
  int queue_packets() const;
  link::Start StartMessage();
  link::SaveReplay SaveMessage() const;
  void LeaveRecorder();
  void SetWatched(bool watched);
  // Once the recorder can read what has been logged, or after a while.
  void SendStop();

  RunAdvice advice_;
  bool starting_ = false;  // OnRunStarted is still owed.
  bool manifest_durable_ = false;
  bool accepted_ = false;
  bool stop_sent_ = false;
  bool pause_wanted_ = false;  // As last sent.
  bool finished_ = false;      // The outcome is known.
  bool log_closing_ = false;
  bool log_closed_ = true;
  bool saved_ = false;  // The final manifest is on the disk.
  RecordingRecord final_;
  LoopHandle deadline_;
  LoopHandle log_deadline_;  // Of SendStop(), until it has sent.
  LoopHandle end_;
};

// The data of the event that tells of a marker.
std::string MarkerEvent(absl::string_view id, const Marker& marker);

}  // namespace kine
