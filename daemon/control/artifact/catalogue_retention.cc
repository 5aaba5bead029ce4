// What of the catalogue's recordings is kept, and for how long.
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits/timeline.h"
#include "daemon/base/log.h"
#include "daemon/base/record_text.h"
#include "daemon/base/status.h"
#include "daemon/control/artifact/retention.h"
#include "daemon/control/catalogue_table.h"
#include "daemon/storage/atomic_file.h"

namespace kine {

void Catalogue::SetPinned(absl::string_view id, const Viewer& viewer,
                          bool pinned, Answer answer) {
  Entry* entry = FindEntry(id, viewer);
  if (entry == nullptr) return answer(NoSuchRecording(id));
  if (entry->run != nullptr && !Runs(*entry)) {
    // Its manifest is being brought to its end.
    entry->when_retired.push_back([this, id = std::string(id), viewer, pinned,
                                   answer = std::move(answer)]() mutable {
      SetPinned(id, viewer, pinned, std::move(answer));
    });
    return;
  }
  // It has no file; and its manifest may have to stay as it is, for the
  // daemon's next start to try again.
  if (entry->record.state == RecordingState::kFailed)
    return answer(absl::FailedPreconditionError(
        absl::StrCat("recording ", Quoted(entry->record.id), " failed (",
                     entry->record.reason, "): there is no file to keep")));
  entry->record.pinned = pinned;
  auto saved = [this, self = self_, id = std::string(id), viewer,
                answer = std::move(answer)](absl::Status status) mutable {
    if (*self == nullptr)
      return answer(absl::UnavailableError("the daemon is stopping"));
    const Entry* now = FindEntry(id, viewer);
    if (now == nullptr) return answer(NoSuchRecording(id));
    if (!status.ok())
      return answer(WithContext("cannot write the manifest", status));
    answer(&now->record);
  };
  if (entry->run != nullptr)
    entry->run->SaveManifest(std::move(saved));
  else
    SaveFinished(*entry, std::move(saved));
}

void Catalogue::SaveFinished(Entry& entry, FileIo::Done done) {
  context_.file_io.Run(
      [&state_dir = context_.state_dir, id = entry.record.id,
       text = ManifestOf(entry.record)]() -> absl::Status {
        KINE_ASSIGN_OR_RETURN(const UniqueFd directory,
                              state_dir.OpenRecording(id));
        return WriteFileAtomically(directory.get(), kManifestName,
                                   std::as_bytes(std::span(text)),
                                   IfExists::kReplace);
      },
      std::move(done));
}

void Catalogue::ArmRetention() {
  retention_timer_ = LoopHandle(
      context_.loop,
      context_.loop.PostAfter(absl::Milliseconds(limits::kRetentionMs),
                              [this] { ApplyRetention(); }));
}

void Catalogue::ApplyRetention() {
  if (!limits_.retention.on() || shutting_down_) return;
  ArmRetention();
  std::vector<const RecordingRecord*> records;
  for (const auto& [id, entry] : table_->entries)
    if (entry->run == nullptr && !entry->deleting)
      records.push_back(&entry->record);
  for (const Expired& expired :
       FindExpired(std::move(records), limits_.retention,
                   context_.loop.clock().Wall())) {
    LogInfo(absl::StrCat("recording ", Quoted(expired.id),
                         ": deleted, as --keep_",
                         RetentionRuleName(expired.why), " says"));
    Remove(*table_->entries.at(expired.id),
           [this, id = expired.id, why = expired.why](absl::Status status) {
             if (status.ok())
               ++ended_.retention_deleted[static_cast<size_t>(why)];
             else
               LogWarning(absl::StrCat("recording ", Quoted(id),
                                       ": cannot be deleted, tried again "
                                       "later: ",
                                       status.message()));
           });
  }
}

}  // namespace kine
