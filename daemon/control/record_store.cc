#include "daemon/control/record_store.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits.h"
#include "daemon/base/log.h"
#include "daemon/control/manifest_writer.h"
#include "daemon/storage/blocking_io.h"
#include "daemon/storage/directory.h"

namespace kine {

namespace {

// A directory that a crash left before its first manifest: it holds nothing but
// what the daemon itself made, and no video.
bool IsStillborn(StateDir& state_dir, const std::string& id) {
  const absl::StatusOr<UniqueFd> directory = state_dir.OpenRecording(id);
  if (!directory.ok()) return false;
  const absl::StatusOr<std::vector<std::string>> names =
      ListDirectory(directory->get());
  if (!names.ok()) return false;
  return std::all_of(names->begin(), names->end(), [](const std::string& name) {
    return name == "events.ndjson" ||
           name == absl::StrCat(".", kManifestName, ".tmp");
  });
}

}  // namespace

std::vector<RecordingRecord> LoadRecords(StateDir& state_dir,
                                         std::vector<std::string>& strangers) {
  std::vector<RecordingRecord> out;
  absl::StatusOr<std::vector<std::string>> ids =
      state_dir.ListRecordings(&strangers);
  if (!ids.ok()) return out;
  for (const std::string& id : *ids) {
    absl::StatusOr<std::string> text =
        ReadSmallFile(state_dir.recordings_fd(),
                      absl::StrCat(id, "/", kManifestName), kManifestBytesMax);
    absl::StatusOr<RecordingRecord> record =
        text.ok() ? ParseManifest(*text)
                  : absl::StatusOr<RecordingRecord>(text.status());
    if (record.ok() && record->id == id) {
      out.push_back(*std::move(record));
    } else if (absl::IsNotFound(text.status()) && IsStillborn(state_dir, id) &&
               state_dir.RemoveRecording(id).ok()) {
      LogInfo(absl::StrCat("recording ", Quoted(id),
                           ": removed its empty directory, which a crash left "
                           "before it began"));
    } else {
      strangers.push_back(id);
    }
  }
  return out;
}

std::string LoadRestoreToken(StateDir& state_dir) {
  return ReadSmallFile(state_dir.fd(), kRestoreTokenName,
                       limits::kRestoreTokenMax)
      .value_or("");
}

}  // namespace kine
