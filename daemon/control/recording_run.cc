#include "daemon/control/recording_run.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "daemon/base/check.h"
#include "daemon/base/limits.h"
#include "daemon/base/log.h"
#include "daemon/base/record_text.h"
#include "daemon/base/status.h"
#include "daemon/storage/directory.h"
#include "daemon/storage/free_space.h"
#include "daemon/timeline/trace_ring.h"
#include "ipc/json_out.h"

namespace kine {
namespace {

UniqueFd Duplicate(const UniqueFd& fd) {
  return UniqueFd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
}

}  // namespace

RecordingSettings ForRecorder(const RunContext& context,
                              RecordingSettings settings,
                              const RunAdvice& advice) {
  using Encoder = RecordingSettings::Encoder;
  if (settings.encoder == Encoder::kAuto) settings.encoder = context.encoder;
  if (settings.encoder == Encoder::kAuto && !advice.no_hardware.empty())
    settings.encoder = Encoder::kSoftware;
  return settings;
}

RecordingRun::RecordingRun(const RunContext& context, RecordingRecord& record,
                           Client& client)
    : context_(context),
      record_(record),
      client_(client),
      self_(std::make_shared<RecordingRun*>(this)),
      live_(context.loop, [this](bool watched) { SetWatched(watched); }) {}

RecordingRun::~RecordingRun() { *self_ = nullptr; }

void RecordingRun::Start(RunAdvice advice) {
  starting_ = true;
  absl::StatusOr<UniqueFd> trace = MakeTraceMemory();
  if (trace.ok())
    trace_ = std::make_shared<const UniqueFd>(*std::move(trace));
  else
    LogWarning(
        absl::StrCat("recording ", Quoted(record_.id),
                     ": no trace, ignoring: ", trace.status().message()));
  TellState();
  advice_ = std::move(advice);
  OpenDirectory(/*create=*/true);
  // Beside the disk, not after it: the two take about as long.
  JoinRecorder();
  const int64_t idle_ms = record_.request.settings.idle.stop_after_ms;
  if (idle_ms > 0 && !record_.replay)
    idle_.emplace(context_.loop, absl::Milliseconds(idle_ms),
                  [this] { Stop(link::EndReason::kIdle); });
}

void RecordingRun::OpenDirectory(bool create) {
  // The worker writes it, the callback reads it; never at the same time.
  auto opened = std::make_shared<Opened>();
  context_.file_io.Run(
      [opened, create, id = record_.id, first = record_.first_frame_at,
       &state_dir = context_.state_dir]() -> absl::Status {
        opened->directory = create ? state_dir.CreateRecording(id)
                                   : state_dir.OpenRecording(id);
        if (opened->directory.ok())
          opened->log = OpenEventLogFile(opened->directory->get(), first);
        return absl::OkStatus();
      },
      [self = self_, opened, create](absl::Status) {
        if (*self != nullptr) (*self)->OnDirectory(std::move(*opened), create);
      });
}

void RecordingRun::OnDirectory(Opened opened, bool created) {
  if (!opened.directory.ok()) {
    finished_ = true;
    Fail("disk_failed",
         std::string(WithContext("cannot open the recording's directory",
                                 opened.directory.status())
                         .message()));
    return;
  }
  directory_ = std::make_shared<const UniqueFd>(*std::move(opened.directory));
  manifest_ = std::make_unique<ManifestWriter>(context_.file_io, directory_);
  OpenEventLog(std::move(opened.log));
  if (!created) {
    FinaliseByOneShot();
    return;
  }
  manifest_->Save(ManifestOf(record_), [this](absl::Status status) {
    if (!status.ok()) {
      Fail(ErrnoOf(status) == ENOSPC ? "disk_full" : "disk_failed",
           std::string(
               WithContext("cannot write the manifest", status).message()));
      return;
    }
    manifest_durable_ = true;
    MaybeStarted();
  });
  if (recorder_ == nullptr || finished_) return;
  SendStart();
  if (stop_sent_) SendStop();  // Stopped while the directory was being made.
}

void RecordingRun::SendStart() {
  std::vector<UniqueFd> fds;
  fds.push_back(Duplicate(*directory_));
  if (trace_ != nullptr) fds.push_back(Duplicate(*trace_));
  recorder_->Send(record_.replay ? link::ToRecorder(SaveMessage())
                                 : link::ToRecorder(StartMessage()),
                  std::move(fds));
}

int RecordingRun::queue_packets() const {
  return record_.request.settings.profile ==
                 RecordingSettings::Profile::kInstant
             ? context_.queue_packets.instant
             : context_.queue_packets.other;
}

link::SaveReplay RecordingRun::SaveMessage() const {
  return {record_.id, advice_.replay->id, record_.request.settings,
          record_.replay->seconds * int64_t{1000}, queue_packets()};
}

link::Start RecordingRun::StartMessage() {
  link::Start start;
  start.id = record_.id;
  start.settings = ForRecorder(context_, record_.request.settings, advice_);
  start.restore_token = std::move(advice_.restore_token);
  start.queue_packets = queue_packets();
  using Encoder = RecordingSettings::Encoder;
  if (record_.request.settings.encoder == Encoder::kAuto &&
      context_.encoder == Encoder::kAuto && !advice_.no_hardware.empty()) {
    link::Fallback fallback{record_.id, "encoder", "vaapi", "software",
                            std::move(advice_.no_hardware)};
    On(fallback);
  }
  return start;
}

void RecordingRun::OpenEventLog(absl::StatusOr<EventLogFile> log) {
  // A side file: without it the video is as good.
  if (!log.ok()) {
    LogWarning(
        absl::StrCat("recording ", Quoted(record_.id),
                     ": no event log, ignoring: ", log.status().message()));
    if (recovering_)
      recovering_->report.damaged.push_back(
          {kEventLogName,
           absl::StrCat("cannot be opened: ", log.status().message())});
    return;
  }
  if (recovering_) {
    recovering_->last_sign_us =
        std::max(recovering_->last_sign_us, log->last_us);
    if (log->damage) recovering_->report.damaged.push_back(*log->damage);
  }
  log_closed_ = false;
  events_ = std::make_unique<AppendLog>(
      context_.loop, context_.file_io, std::move(log->fd), log->end,
      [id = record_.id](absl::Status status) {
        LogWarning(absl::StrCat("recording ", Quoted(id),
                                ": event log, ignoring: ", status.message()));
      });
}

void RecordingRun::JoinRecorder() {
  RecorderPool::User& user = *this;  // A private base.
  recorder_ =
      advice_.replay
          ? context_.recorders.JoinBeside(user, record_.id,
                                          *advice_.replay->ring)
          : context_.recorders.Join(
                user, record_.id,
                ForRecorder(context_, record_.request.settings, advice_));
  ArmStart(limits::kRecorderStartMs,
           "the recorder did not acknowledge the start");
}

void RecordingRun::ArmStart(int64_t millis, const char* late) {
  const auto fail = [this, late] {
    // It answers others: its end would be theirs, too.
    if (recorder_->alone())
      recorder_->Kill(absl::DeadlineExceededError(late));
    else
      Fail("internal", late);
  };
  deadline_ = LoopHandle(
      context_.loop, context_.loop.PostAfter(absl::Milliseconds(millis), fail));
}

void RecordingRun::LeaveRecorder() {
  recorder_.reset();
  deadline_.Cancel();
}

void RecordingRun::MaybeStarted() {
  if (!starting_ || !manifest_durable_ || !accepted_) return;
  starting_ = false;
  client_.OnRunStarted(*this, absl::OkStatus());
}

void RecordingRun::Stop(link::EndReason reason) {
  if (finished_ || stop_sent_ || record_.replay ||
      record_.state == RecordingState::kFinalizing)
    return;
  stop_sent_ = true;
  record_.pending_reason = link::EndReasonName(reason);
  Step(RecordingState::kFinalizing);
  // Before the directory is there OnDirectory() sends it, behind the Start.
  if (directory_ != nullptr && recorder_ != nullptr) SendStop();
  // It holds the file, and what keeps it so long (the disk, a driver) keeps the
  // others of this source, too: all of them are recovered.
  deadline_ = LoopHandle(
      context_.loop,
      context_.loop.PostAfter(
          absl::Milliseconds(limits::kRecorderStopMs), [this] {
            if (recorder_ != nullptr)
              recorder_->Kill(absl::DeadlineExceededError(absl::StrCat(
                  "the recorder did not stop recording ", Quoted(record_.id),
                  " within ", limits::kRecorderStopMs / 1000, " s")));
          }));
}

void RecordingRun::OnRecorderGone(absl::Status reason) {
  LeaveRecorder();
  live_.End();
  LogError(absl::StrCat("recording ", Quoted(record_.id),
                        ": recorder died: ", reason.message()));
  std::string data;
  JsonOut out(data);
  out.BeginObject();
  out.Field("id", record_.id);
  out.Field("reason", reason.message());
  out.End();
  Tell("recorder.died", std::move(data));
  record_.message = std::string(reason.message());
  if (directory_ == nullptr) {
    // Only when the disk is slower than the recorder's death: OnDirectory()
    // sees that there is no recorder.
    finished_ = true;
    Fail("recorder_died", record_.message);
    return;
  }
  BeginRecovery("recorder_died", MediaNow());
  FinaliseByOneShot();
}

void RecordingRun::Fail(std::string reason, std::string message) {
  finished_ = true;
  LeaveRecorder();
  if (record_.state == RecordingState::kRecording ||
      record_.state == RecordingState::kPaused)
    Step(RecordingState::kFinalizing);
  EndWith(RecordingState::kFailed, std::move(reason), std::move(message));
}

void RecordingRun::EndWith(RecordingState state, std::string reason,
                           std::string message) {
  // The record changes when the manifest is durable, not before: nobody is
  // told `ready` for what a power loss could undo.
  final_ = record_;
  final_.state = state;
  final_.reason = std::move(reason);
  final_.pending_reason.clear();
  final_.message = std::move(message);
  final_.finished_at = context_.loop.clock().Wall();
  final_.source_present = false;
  if (manifest_ == nullptr) {
    OnFinalManifest(absl::OkStatus());  // Nowhere, or not to be written.
    return;
  }
  manifest_->Save(ManifestOf(final_),
                  [this](absl::Status status) { OnFinalManifest(status); });
}

void RecordingRun::OnFinalManifest(absl::Status status) {
  if (!status.ok()) {
    LogError(absl::StrCat("recording ", Quoted(record_.id),
                          ": cannot write the manifest: ", status.message()));
    final_.message =
        absl::StrCat(final_.message, final_.message.empty() ? "" : "; ",
                     "the manifest could not be written: ", status.message());
  }
  // On its way before anybody hears of the end: who asks then is behind it.
  KeepItsTrace();
  const RecordingState state = final_.state;
  final_.state = record_.state;
  record_ = std::move(final_);
  saved_ = true;
  if (starting_) {
    starting_ = false;
    Step(state);
    client_.OnRunStarted(
        *this,
        absl::UnavailableError(absl::StrCat(
            record_.reason, ": ",
            record_.message.empty() ? "the start failed" : record_.message)));
  } else {
    Step(state);
  }
  TellRecovered();
  log_closing_ = true;
  if (events_ != nullptr)
    events_->Close([this](absl::Status) {
      log_closed_ = true;
      MaybeEnded();
    });
  else
    log_closed_ = true;
  MaybeEnded();
}

void RecordingRun::KeepItsTrace() {
  if (trace_ == nullptr || directory_ == nullptr) return;
  context_.file_io.Run(
      [trace = trace_, directory = directory_]() -> absl::Status {
        KINE_ASSIGN_OR_RETURN(const Trace read, ReadTrace(trace->get()));
        return KeepTrace(directory->get(), read);
      },
      [id = record_.id](absl::Status status) {
        // A side file: without it the video is as good.
        if (!status.ok())
          LogWarning(absl::StrCat("recording ", Quoted(id),
                                  ": no trace, ignoring: ", status.message()));
      });
}

void RecordingRun::MaybeEnded() {
  if (!saved_ || !log_closed_ || end_.active()) return;
  end_ = LoopHandle(context_.loop,
                    context_.loop.PostAfter(absl::ZeroDuration(), [this] {
                      client_.OnRunEnded(*this);
                    }));
}

void RecordingRun::Step(RecordingState state) {
  KINE_CHECK(CanStep(record_.state, state));
  record_.state = state;
  TellState();
}

void RecordingRun::TellState() {
  std::string data;
  JsonOut out(data);
  out.BeginObject();
  out.Field("id", record_.id);
  out.Field("state", RecordingStateName(record_.state));
  out.FieldIfAny("reason", record_.reason.empty() ? record_.pending_reason
                                                  : record_.reason);
  out.FieldIfAny("message", record_.message);
  if (record_.needs_consent) out.Field("needs_consent", true);
  if (!IsActive(record_.state)) {
    out.Field("bytes", record_.bytes);
    out.Field("duration_us", record_.duration_us);
    out.Field("frames", record_.frames);
    out.Field("truncated", record_.truncated);
  }
  out.End();
  Tell("recording.state", std::move(data));
}

void RecordingRun::Tell(absl::string_view event, std::string data) {
  Log(event, data);
  client_.OnRunEvent(*this, event, std::move(data));
}

}  // namespace kine
