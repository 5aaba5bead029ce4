#include "daemon/storage/state_dir.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "daemon/base/limits.h"
#include "daemon/base/log.h"
#include "daemon/base/status.h"
#include "daemon/storage/blocking_io.h"
#include "daemon/storage/directory.h"
#include "daemon/storage/file_lock.h"

namespace kine {
namespace {

// No id begins with a dot, so these never meet one.
constexpr char kRemovedPrefix[] = ".removed-";
constexpr size_t kPidBytesMax = 32;

// The directory and its missing parents, 0700.
absl::Status MakePath(const std::string& path) {
  for (size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string prefix = path.substr(0, end);
    if (::mkdir(prefix.c_str(), 0700) != 0 && errno != EEXIST) {
      // A parent that exists on a read-only disk says EROFS, not EEXIST.
      const int error = errno;
      struct stat info;
      if (::stat(prefix.c_str(), &info) != 0 || !S_ISDIR(info.st_mode))
        return ErrnoStatus(error, absl::StrCat("mkdir ", Quoted(prefix)));
    }
    if (end == std::string::npos) return absl::OkStatus();
  }
}

absl::StatusOr<UniqueFd> TakeLock(int dir_fd) {
  KINE_ASSIGN_OR_RETURN(UniqueFd lock,
                        OpenBeneath(dir_fd, "lock", O_RDWR | O_CREAT));
  const absl::Status locked = TryLockFile(lock.get());
  if (absl::IsUnavailable(locked)) {
    const auto text = ReadSmallFile(dir_fd, "lock", kPidBytesMax);
    int64_t pid = 0;
    const bool known = text.ok() && absl::SimpleAtoi(*text, &pid) && pid > 0;
    return absl::FailedPreconditionError(absl::StrCat(
        "another kinescoped", known ? absl::StrCat(" (pid ", pid, ")") : "",
        " uses this state directory; stop it or choose another directory"));
  }
  KINE_RETURN_IF_ERROR(WithContext("lock", locked));
  // Always as long, so that nothing of an older number is left. Only for the
  // message above: a torn write does no harm.
  const std::string pid = absl::StrFormat("%-20d\n", ::getpid());
  KINE_RETURN_IF_ERROR(
      WriteFully(lock.get(), 0, std::as_bytes(std::span(pid))));
  return lock;
}

}  // namespace

absl::StatusOr<std::string> DefaultStatePath() {
  if (const char* list = ::getenv("STATE_DIRECTORY"); list != nullptr) {
    const std::string first(list, std::find(list, list + strlen(list), ':'));
    if (absl::StartsWith(first, "/")) return first;
  }
  const char* const state_home = ::getenv("XDG_STATE_HOME");
  if (state_home != nullptr && state_home[0] == '/')
    return absl::StrCat(state_home, "/kinescope");
  const char* const home = ::getenv("HOME");
  if (home != nullptr && home[0] == '/')
    return absl::StrCat(home, "/.local/state/kinescope");
  return absl::FailedPreconditionError(
      "no place for recordings: none of STATE_DIRECTORY, XDG_STATE_HOME and "
      "HOME is an absolute path; start with --state_dir=DIR");
}

bool ValidRecordingId(absl::string_view id) {
  if (id.empty() || id.size() > limits::kRecordingIdMax || id[0] == '.')
    return false;
  return std::all_of(id.begin(), id.end(), [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
  });
}

absl::StatusOr<std::unique_ptr<StateDir>> StateDir::Open(
    const std::string& path) {
  const auto context = [&path](const absl::Status& status) {
    return WithContext(absl::StrCat("state directory ", Quoted(path)), status);
  };
  KINE_RETURN_IF_ERROR(context(MakePath(path)));
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return context(ErrnoStatus(errno, "open"));
  KINE_RETURN_IF_ERROR(context(CheckLocalFileSystem(fd.get())));
  auto lock = TakeLock(fd.get());
  if (!lock.ok()) return context(lock.status());
  auto recordings = MakeDirectory(fd.get(), "recordings");
  if (!recordings.ok()) return context(recordings.status());
  KINE_RETURN_IF_ERROR(context(SyncDirectory(fd.get())));
  const auto names = ListDirectory(recordings->get());
  if (!names.ok()) return context(names.status());
  for (const std::string& name : *names) {
    if (!absl::StartsWith(name, kRemovedPrefix)) continue;
    // What cannot be removed must not keep the daemon from starting; it shows
    // among the strangers.
    (void)RemoveTree(recordings->get(), name);
  }
  return std::unique_ptr<StateDir>(new StateDir(
      path, std::move(fd), *std::move(recordings), *std::move(lock)));
}

absl::StatusOr<UniqueFd> StateDir::CreateRecording(const std::string& id) {
  if (!ValidRecordingId(id)) return absl::InvalidArgumentError("recording id");
  if (::mkdirat(recordings_.get(), id.c_str(), 0700) != 0)
    return ErrnoStatus(errno, absl::StrCat("recording ", Quoted(id)));
  KINE_RETURN_IF_ERROR(SyncDirectory(recordings_.get()));
  return OpenRecording(id);
}

absl::StatusOr<UniqueFd> StateDir::OpenRecording(const std::string& id) const {
  if (!ValidRecordingId(id)) return absl::InvalidArgumentError("recording id");
  return OpenBeneath(recordings_.get(), id, O_RDONLY | O_DIRECTORY);
}

absl::StatusOr<std::vector<std::string>> StateDir::ListRecordings(
    std::vector<std::string>* strangers) const {
  KINE_ASSIGN_OR_RETURN(const auto names, ListDirectory(recordings_.get()));
  std::vector<std::string> ids;
  for (const std::string& name : names) {
    struct stat info;
    const bool directory = ::fstatat(recordings_.get(), name.c_str(), &info,
                                     AT_SYMLINK_NOFOLLOW) == 0 &&
                           S_ISDIR(info.st_mode);
    if (directory && ValidRecordingId(name)) {
      ids.push_back(name);
    } else if (strangers != nullptr) {
      strangers->push_back(name);
    }
  }
  return ids;
}

absl::Status StateDir::RemoveRecording(const std::string& id) {
  if (!ValidRecordingId(id)) return absl::InvalidArgumentError("recording id");
  const std::string removed = absl::StrCat(kRemovedPrefix, id);
  // Of a recording of the same name whose removal failed half-way.
  KINE_RETURN_IF_ERROR(RemoveTree(recordings_.get(), removed));
  if (::renameat(recordings_.get(), id.c_str(), recordings_.get(),
                 removed.c_str()) != 0)
    return ErrnoStatus(errno, absl::StrCat("recording ", Quoted(id)));
  KINE_RETURN_IF_ERROR(SyncDirectory(recordings_.get()));
  return RemoveTree(recordings_.get(), removed);
}

}  // namespace kine
