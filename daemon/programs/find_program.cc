#include "daemon/programs/find_program.h"

#include <unistd.h>

#include <cerrno>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/status.h"

namespace kine {

absl::StatusOr<std::string> FindProgram(const std::string& name) {
  char self[4096];
  const ssize_t length = ::readlink("/proc/self/exe", self, sizeof self);
  if (length <= 0) return ErrnoStatus(errno, "readlink(/proc/self/exe)");
  std::string directory(self, static_cast<size_t>(length));
  directory.resize(directory.rfind('/'));
  const std::string candidates[] = {
      absl::StrCat(directory, "/", name),
      absl::StrCat(directory, "/../libexec/kinescope/", name)};
  for (const std::string& path : candidates)
    if (::access(path.c_str(), X_OK) == 0) return path;
  return absl::FailedPreconditionError(absl::StrCat(
      name, " is neither at ", candidates[0], " nor at ", candidates[1]));
}

}  // namespace kine
