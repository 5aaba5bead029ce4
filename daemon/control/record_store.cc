#include "daemon/control/record_store.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits.h"
#include "daemon/base/log.h"
#include "daemon/base/status.h"
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

// What is known of a video whose manifest says nothing.
std::string VideoText(int recordings_fd, const std::string& id) {
  struct stat video {};
  if (::fstatat(recordings_fd, absl::StrCat(id, "/video.mp4").c_str(), &video,
                AT_SYMLINK_NOFOLLOW) != 0 ||
      !S_ISREG(video.st_mode))
    return "";
  return absl::StrCat("; its video.mp4 has ", video.st_size,
                      " bytes and plays by itself");
}

absl::StatusOr<RecordingRecord> LoadRecord(int recordings_fd,
                                           const std::string& id) {
  const std::string path = absl::StrCat(id, "/", kManifestName);
  KINE_ASSIGN_OR_RETURN(const std::string text,
                        ReadSmallFile(recordings_fd, path, kManifestBytesMax));
  KINE_ASSIGN_OR_RETURN(RecordingRecord record, ParseManifest(text));
  if (record.id == id) return record;
  return absl::InvalidArgumentError(
      absl::StrCat("it is that of ", Quoted(record.id)));
}

}  // namespace

std::vector<RecordingRecord> LoadRecords(StateDir& state_dir,
                                         std::vector<Stranger>& strangers) {
  std::vector<RecordingRecord> out;
  std::vector<std::string> misnamed;
  const absl::StatusOr<std::vector<std::string>> ids =
      state_dir.ListRecordings(&misnamed);
  for (std::string& name : misnamed)
    strangers.push_back({std::move(name), "its name is no recording's id"});
  if (!ids.ok()) return out;
  for (const std::string& id : *ids) {
    absl::StatusOr<RecordingRecord> record =
        LoadRecord(state_dir.recordings_fd(), id);
    if (record.ok()) {
      out.push_back(*std::move(record));
    } else if (absl::IsNotFound(record.status()) &&
               IsStillborn(state_dir, id) &&
               state_dir.RemoveRecording(id).ok()) {
      LogInfo(absl::StrCat("recording ", Quoted(id),
                           ": removed its empty directory, which a crash left "
                           "before it began"));
    } else {
      strangers.push_back(
          {id, absl::StrCat(kManifestName, ": ", record.status().message(),
                            VideoText(state_dir.recordings_fd(), id))});
    }
  }
  for (const Stranger& stranger : strangers)
    LogWarning(absl::StrCat(
        Quoted(stranger.name),
        " in the state directory is left alone: ", stranger.reason));
  return out;
}

std::string LoadRestoreToken(StateDir& state_dir) {
  return ReadSmallFile(state_dir.fd(), kRestoreTokenName,
                       limits::kRestoreTokenMax)
      .value_or("");
}

}  // namespace kine
