// What is done for a recording whose recorder, or whose daemon, died.
#include <fcntl.h>

#include <algorithm>
#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits.h"
#include "daemon/base/limits/recovery.h"
#include "daemon/base/log.h"
#include "daemon/base/record_text.h"
#include "daemon/control/recording_run.h"
#include "daemon/storage/free_space.h"
#include "ipc/json_out.h"

namespace kine {
namespace {

UniqueFd Duplicate(const UniqueFd& fd) {
  return UniqueFd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
}

// What was kept, for people.
std::string Kept(const RecordingRecord& record) {
  return absl::StrCat("the file holds every whole fragment (", record.frames,
                      " frames); what came after the last one is lost");
}

}  // namespace

void RecordingRun::Recover(absl::string_view reason) {
  BeginRecovery(reason, 0);
  OpenDirectory(/*create=*/false);
}

void RecordingRun::BeginRecovery(absl::string_view reason,
                                 int64_t last_sign_us) {
  recovering_.emplace();
  recovering_->report.found = RecordingStateName(record_.state);
  recovering_->report.reason = std::string(reason);
  recovering_->begun = context_.loop.clock().Now();
  recovering_->last_sign_us = last_sign_us;
  record_.pending_reason = std::string(reason);
  if (record_.state != RecordingState::kFinalizing)
    Step(RecordingState::kFinalizing);
}

void RecordingRun::FinaliseByOneShot() {
  // On a full disk the ballast makes room for the index.
  context_.file_io.Run(
      [state = context_.state_dir.fd()] {
        return absl::IsResourceExhausted(CheckFreeSpace(state))
                   ? ReleaseBallast(state)
                   : absl::OkStatus();
      },
      [self = self_](absl::Status status) {
        if (*self == nullptr) return;
        if (!status.ok())
          LogWarning(absl::StrCat("ballast, ignoring: ", status.message()));
        (*self)->StartOneShot();
      });
}

void RecordingRun::StartOneShot() {
  std::vector<UniqueFd> fds;
  fds.push_back(Duplicate(*directory_));
  std::vector<std::string> argv = {
      context_.recorder_path, "--finalise", absl::StrCat("--id=", record_.id),
      absl::StrCat("--max_bytes=", record_.request.settings.max_bytes)};
  if (record_.request.settings.durability ==
      RecordingSettings::Durability::kFragment)
    argv.push_back("--each_synced");
  if (const auto after = record_.request.settings.idle.compact_after_ms) {
    argv.push_back(absl::StrCat("--compact_after_ms=", *after));
    argv.push_back(absl::StrCat("--compact_speed=",
                                record_.request.settings.idle.compact_speed));
  }
  one_shot_ = std::make_unique<OneShot>(
      context_.loop, context_.spawner, std::move(argv), std::move(fds),
      absl::Milliseconds(limits::kFinaliseMs),
      [this](absl::StatusOr<std::string> output) {
        OnOneShot(std::move(output));
      });
}

void RecordingRun::OnOneShot(absl::StatusOr<std::string> output) {
  one_shot_.reset();
  finished_ = true;
  absl::StatusOr<link::ToDaemon> message =
      output.ok() ? link::ParseToDaemon(*output)
                  : absl::StatusOr<link::ToDaemon>(output.status());
  const auto* finished =
      message.ok() ? std::get_if<link::Finished>(&*message) : nullptr;
  if (finished == nullptr && ++recovering_->tries < limits::kFinaliseTries) {
    // Somebody killed it, or memory was short: it goes on where that one was.
    LogWarning(absl::StrCat("recording ", Quoted(record_.id),
                            ": the finaliser gave no answer, once more: ",
                            message.status().message()));
    finished_ = false;
    StartOneShot();
    return;
  }
  if (finished == nullptr) {
    // The file and the manifest stay as they are: the next start tries again.
    manifest_.reset();
    EndWith(RecordingState::kFailed, record_.pending_reason,
            absl::StrCat("cannot finalise what was recorded; video.mp4 holds "
                         "its fragments, the daemon's next start tries again: ",
                         message.ok() ? "the finaliser said something else"
                                      : message.status().message()));
    return;
  }
  record_.bytes = finished->bytes;
  record_.duration_us = finished->duration_us;
  record_.compact_us = finished->compact_us;
  record_.frames = finished->frames;
  record_.finalise = finished->finalise;
  record_.width = finished->width;
  record_.height = finished->height;
  record_.true_width = finished->true_width;
  record_.true_height = finished->true_height;
  record_.truncated = true;
  // How many were lost died with the recorder; the last heartbeat said.
  const uint64_t dropped = record_.cursor.dropped;
  record_.cursor = finished->cursor;
  record_.cursor.dropped = dropped;
  // What the file proves; the recorder's own counters may have died with it.
  record_.counters.encoded =
      std::max(record_.counters.encoded, finished->frames);
  record_.counters.captured =
      std::max(record_.counters.captured, record_.counters.encoded);
  const bool retried_later =
      finished->state == link::Finished::State::kFailed &&
      finished->reason != link::EndReason::kNoFrame;
  if (!retried_later) Report(*finished);
  if (finished->state == link::Finished::State::kFailed) {
    // A file without a frame stays one; anything else may work next time.
    if (retried_later) manifest_.reset();
    EndWith(RecordingState::kFailed, link::EndReasonName(finished->reason),
            finished->message.empty() ? record_.message : finished->message);
    return;
  }
  EndWith(RecordingState::kInterrupted, record_.pending_reason,
          absl::StrCat(record_.message, record_.message.empty() ? "" : "; ",
                       Kept(record_)));
}

void RecordingRun::Report(const link::Finished& finished) {
  RecoveryReport& report = recovering_->report;
  report.frames = finished.frames;
  report.bytes = finished.bytes;
  report.durable_us = finished.finalise.durable_us;
  report.duration_us = finished.duration_us;
  report.lost_us =
      std::max<int64_t>(0, recovering_->last_sign_us - finished.duration_us);
  report.took_us = absl::ToInt64Microseconds(context_.loop.clock().Now() -
                                             recovering_->begun);
  if (finished.finalise.alive_damaged)
    report.damaged.push_back(
        {"alive",
         "no slot is whole: a still picture at the end lasts only as "
         "long as its fragment says"});
  if (finished.finalise.cursor_damaged)
    report.damaged.push_back(
        {"cursor.ndjson", "was cut behind its last whole line"});
  record_.recovery = report;
}

void RecordingRun::TellRecovered() {
  if (!recovering_ || !record_.recovery) return;
  std::string data;
  JsonOut out(data);
  out.BeginObject();
  out.Field("id", record_.id);
  WriteRecoveryMembers(out, *record_.recovery);
  out.End();
  Tell("recording.recovered", std::move(data));
}

}  // namespace kine
