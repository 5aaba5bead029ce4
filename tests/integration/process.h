// Programs that the integration tests start, and directories to start them in.
//
// Thread: one at a time; the test process has no other threads when it forks.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "daemon/base/fd.h"

namespace kine {

// Against hangs only: nothing is expected to take so long.
inline constexpr absl::Duration kPatience = absl::Minutes(2);

// kinescoped and the others: in $KINE_BIN_DIR, else in ../bin of this binary.
std::string BinaryPath(const std::string& name);

// What the build puts beside this binary: softva/..., programs/...
std::string TestPath(const std::string& name);

// A file of the source tree: in $KINE_SOURCE_DIR, else in the working
// directory.
std::string SourcePath(const std::string& name);

// True when the program is in PATH.
bool HaveProgram(const std::string& name);

std::string ReadWholeFile(const std::string& path);

// A new directory below $TMPDIR that goes, with all it holds, with the object.
class RunDirectory {
 public:
  RunDirectory();
  ~RunDirectory();
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string File(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// A child. Dies with this process, and (SIGKILL) with its object.
class Process {
 public:
  struct Options {
    std::vector<std::string> argv;  // argv[0]: a path, or looked up in PATH.
    std::vector<std::pair<std::string, std::string>> env;  // Beside ours.
    std::string out;  // Standard output and error are appended to these;
    std::string err;  // "" = ours.
    // Runs between fork and exec: system calls only. False: no exec.
    std::function<bool()> before_exec;
  };

  Process() = default;
  explicit Process(Options options);
  ~Process() { Kill(); }
  Process(Process&& other) noexcept { *this = std::move(other); }
  Process& operator=(Process&& other) noexcept;

  bool running() const { return pid_ > 0; }
  pid_t pid() const { return pid_; }
  // Readable once it has ended.
  int pidfd() const { return pidfd_.get(); }
  void Signal(int signal) const;
  // The wait status; none when it still runs after `limit`.
  std::optional<int> Wait(absl::Duration limit = kPatience);
  // SIGKILL, and waits.
  void Kill();

 private:
  pid_t pid_ = -1;
  UniqueFd pidfd_;
};

// The exit code of a wait status; -1 when it did not exit by itself.
int ExitCodeOf(std::optional<int> wait_status);

struct ProgramResult {
  int code = -1;  // ExitCodeOf().
  std::string out;
  std::string err;
};
// Runs a program to its end; -1 when it does not come within `limit`.
ProgramResult RunProgram(
    std::vector<std::string> argv,
    std::vector<std::pair<std::string, std::string>> env = {},
    absl::Duration limit = kPatience);

}  // namespace kine
