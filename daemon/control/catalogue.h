// Catalogue: every recording by id, on the disk and running; who may see it,
// how many there may be, and who waits for one.
//
// Control loop only. Answers are called on the loop, at once or later, exactly
// once each (with UNAVAILABLE when the catalogue is destroyed first); a record
// is valid during the call. Errors carry what HTTP needs to know
// (ipc/problem.h).
//
// Owners: a recording with an owner is NOT_FOUND to everybody else.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "daemon/control/artifact/retention.h"
#include "daemon/control/hardware_trust.h"
#include "daemon/control/recording_run.h"
#include "ipc/event_ring.h"

namespace kine {

// Who asks. `all` sees the recordings of every owner.
struct Viewer {
  std::string owner;
  bool all = false;
};

struct CatalogueLimits {
  int recordings_max;
  int recordings_per_owner_max;
  RetentionPolicy retention = {};
};

class ReplayRing;

class Catalogue final : private RecordingRun::Client {
 public:
  using Answer =
      absl::AnyInvocable<void(absl::StatusOr<const RecordingRecord*>)>;
  using StartAnswer = absl::AnyInvocable<void(
      absl::StatusOr<const RecordingRecord*>, bool attached)>;
  // kPaused, kRecording: of one that runs, or has come to its end.
  enum class WaitFor { kFirstFrame, kReady, kPaused, kRecording };
  // Sums over all recordings of this run of the daemon.
  struct Totals {
    link::Counters counters;  // Its quantiles are not used.
    uint64_t started = 0;
    uint64_t ready = 0;
    uint64_t interrupted = 0;
    uint64_t failed = 0;
    uint64_t recorder_deaths = 0;
    uint64_t fallbacks = 0;
    // What retention deleted, by RetentionRule.
    std::array<uint64_t, kRetentionRules.size()> retention_deleted{};
  };

  // All references outlive the catalogue. `instance` is this run's UUID.
  Catalogue(const RunContext& context, EventRing& events,
            CatalogueLimits limits, std::string instance);
  ~Catalogue() override;

  // Once, first: what is on the disk. Recordings that a crash left unfinished
  // are finalised, a few at a time, while the daemon serves.
  void Adopt(std::vector<RecordingRecord> records);
  // The portal's token of the last run.
  void set_restore_token(std::string token) { restore_token_ = token; }
  // The portal's token for its next start, from now on and after this run.
  void KeepRestoreToken(std::string token);
  // What a recorder that starts now is told beside its settings.
  RunAdvice Advice() const;

  // Starts a recording, or attaches to it: the same id with the same request is
  // the same recording, in any state. Answers when the
  // manifest is durable and the recorder has acknowledged.
  void Start(RecordingRequest request, const std::string& owner,
             StartAnswer answer);
  // The same of a recording of what `ring` holds. Errors are those of
  // ReplayRing::Find(), too.
  void StartReplay(ReplayRequest request, const std::string& owner,
                   const ReplayRing& ring, StartAnswer answer);
  // Answers at once, or when the recording has come to its end with
  // `wait_ready`. Repeatable.
  void Stop(absl::string_view id, const Viewer& viewer, bool wait_ready,
            Answer answer);
  // Answers when it is so. Repeatable; FAILED_PRECONDITION before the first
  // frame and once it ends.
  void SetPaused(absl::string_view id, const Viewer& viewer, bool paused,
                 Answer answer);
  // Answers when it has happened or after `timeout`, whichever is first.
  void Wait(absl::string_view id, const Viewer& viewer, WaitFor what,
            absl::Duration timeout, Answer answer);
  absl::StatusOr<const RecordingRecord*> Find(absl::string_view id,
                                              const Viewer& viewer) const;
  // Of one that runs; FAILED_PRECONDITION else. Valid until the next task.
  absl::StatusOr<LiveFeed*> FindLive(absl::string_view id,
                                     const Viewer& viewer) const;
  // Where its recorder traces what it does; null: it has ended.
  std::shared_ptr<const UniqueFd> FindTrace(absl::string_view id,
                                            const Viewer& viewer) const;
  // FAILED_PRECONDITION while it is active. Answers when it is gone durably.
  void Delete(absl::string_view id, const Viewer& viewer,
              absl::AnyInvocable<void(absl::Status)> answer);
  // Pinned, retention leaves it alone. Answers when that is durable.
  // Repeatable.
  void SetPinned(absl::string_view id, const Viewer& viewer, bool pinned,
                 Answer answer);
  // Marks a moment of it; answers when the marker is durable. Of a recording
  // that has ended too: one that just ends is waited for. The errors of
  // Timeline::Accept(), and FAILED_PRECONDITION where there is no picture.
  using MarkerAnswer = RecordingRun::MarkerDone;
  void AddMarker(absl::string_view id, const Viewer& viewer,
                 MarkerRequest request, std::string key, MarkerAnswer answer);
  // What happened in it, and until when (media time).
  using TimelineAnswer =
      absl::AnyInvocable<void(absl::StatusOr<const RecordingRecord*> record,
                              const Timeline& timeline, int64_t end_us)>;
  void ReadTimeline(absl::string_view id, const Viewer& viewer,
                    TimelineAnswer answer);
  // The owner does something: the idle stop of a recording, or of all that run,
  // waits. How many those were.
  absl::StatusOr<int> NoteActivity(absl::string_view id, const Viewer& viewer);
  int NoteActivity(const Viewer& viewer);
  // Whether a command of `owner` may belong to that recording: NOT_FOUND, or
  // FAILED_PRECONDITION where it does not run; both name `recording_id`.
  absl::Status CheckCommand(const std::string& recording_id,
                            const std::string& owner) const;
  // A command of `owner` has started: becomes a chapter of `recording_id`, or,
  // empty, of those of the owner that run. Returns their ids, for its end.
  std::vector<std::string> AddCommand(const std::string& owner,
                                      const std::string& recording_id,
                                      CommandSpan command);
  void EndCommand(const std::vector<std::string>& recordings,
                  CommandSpan command);
  // Active ones first, then the newest.
  std::vector<const RecordingRecord*> List(const Viewer& viewer) const;

  // Stops every recording (reason `shutdown`) and refuses new ones; `done` is
  // called once all have come to their end.
  void Shutdown(absl::AnyInvocable<void()> done);

  bool shutting_down() const { return shutting_down_; }
  Totals totals() const;
  int active() const;
  int known() const;

 private:
  struct Waiter;
  struct Entry;
  struct Table;

  void OnRunEvent(RecordingRun& run, absl::string_view event,
                  std::string data) override;
  void OnRestoreToken(std::string token) override {
    KeepRestoreToken(std::move(token));
  }
  void OnRunStarted(RecordingRun& run, absl::Status status) override;
  void OnRunEnded(RecordingRun& run) override;
  Entry* FindEntry(absl::string_view id, const Viewer& viewer) const;
  // It has not begun to end.
  static bool Runs(const Entry& entry);
  absl::Status CheckRoom(const std::string& owner) const;
  // 409 instance_changed.
  absl::Status CheckInstance(const std::string& expected) const;
  // 409 id_in_use of a stranger's; wrong_state while it is deleted.
  static absl::Status CheckOwn(const Entry& entry, const std::string& owner);
  static void Attach(Entry& entry, StartAnswer answer);
  // `record` says what was asked for.
  void StartNew(RecordingRecord record, const std::string& owner,
                std::optional<ReplayStart> replay, StartAnswer answer);
  void StartExisting(Entry& entry, RecordingRequest request,
                     const std::string& owner, StartAnswer answer);
  void AddWaiter(Entry& entry, WaitFor what, absl::Duration timeout,
                 Answer answer);
  void AnswerWaiters(Entry& entry);
  void AddLateMarker(Entry& entry, MarkerRequest request, std::string key,
                     MarkerAnswer answer);
  // The manifest of one that has ended, anew.
  void SaveFinished(Entry& entry, FileIo::Done done);
  // Deletes what the policy no longer keeps, now and every minute.
  void ApplyRetention();
  void ArmRetention();
  // Once nothing of it is running or open any more.
  void Remove(Entry& entry, absl::AnyInvocable<void(absl::Status)> done);
  void RemoveFromDisk(const std::string& id,
                      absl::AnyInvocable<void(absl::Status)> done);
  void StartRecoveries();

  const RunContext& context_;
  EventRing& events_;
  const CatalogueLimits limits_;
  const std::string instance_;
  const std::shared_ptr<Catalogue*> self_;
  std::unique_ptr<Table> table_;
  std::string restore_token_;
  HardwareTrust hardware_;
  Totals ended_;  // Of the recordings that have come to their end.
  std::vector<std::string> to_recover_;
  int recovering_ = 0;
  bool shutting_down_ = false;
  LoopHandle retention_timer_;
  absl::AnyInvocable<void()> shutdown_done_;
};

}  // namespace kine
