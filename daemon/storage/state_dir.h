// StateDir: the daemon's directory on the disk, opened once.
//
//   <state>/lock              held by the one daemon that uses it
//   <state>/ballast           free_space.h
//   <state>/recordings/<id>/  0700, one a recording
//
// Any thread; all calls block (use FileIo::Run() from a loop).
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "daemon/base/fd.h"

namespace kine {

// $STATE_DIRECTORY (its first entry), else $XDG_STATE_HOME/kinescope, else
// ~/.local/state/kinescope. FAILED_PRECONDITION when none of them is an
// absolute path.
absl::StatusOr<std::string> DefaultStatePath();

// 1 to limits::kRecordingIdMax characters of [A-Za-z0-9._-], the first no dot.
bool ValidRecordingId(absl::string_view id);

class StateDir {
 public:
  // Makes what is missing (0700), refuses network file systems, takes the lock
  // and finishes interrupted removals. FAILED_PRECONDITION names the process
  // that holds the lock.
  static absl::StatusOr<std::unique_ptr<StateDir>> Open(
      const std::string& path);

  // Both stay open and owned.
  int fd() const { return fd_.get(); }
  int recordings_fd() const { return recordings_.get(); }
  const std::string& path() const { return path_; }

  // Durable when it returns. ALREADY_EXISTS.
  absl::StatusOr<UniqueFd> CreateRecording(const std::string& id);
  // NOT_FOUND.
  absl::StatusOr<UniqueFd> OpenRecording(const std::string& id) const;
  // The ids, sorted. Entries whose name is no id are in `strangers` (may be
  // null), also removals under way: shown by kinectl doctor, never touched.
  absl::StatusOr<std::vector<std::string>> ListRecordings(
      std::vector<std::string>* strangers) const;
  // The id is gone at once and durably; a removal cut short is finished by the
  // next Open(). NOT_FOUND.
  absl::Status RemoveRecording(const std::string& id);

 private:
  StateDir(std::string path, UniqueFd fd, UniqueFd recordings, UniqueFd lock)
      : path_(std::move(path)),
        fd_(std::move(fd)),
        recordings_(std::move(recordings)),
        lock_(std::move(lock)) {}

  const std::string path_;
  const UniqueFd fd_;
  const UniqueFd recordings_;
  const UniqueFd lock_;
};

}  // namespace kine
