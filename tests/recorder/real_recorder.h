// RealRecorder: runs the built kinescope-recorder as kinescoped does, with a
// real link and a real directory.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "daemon/base/fd.h"
#include "ipc/link_messages.h"

namespace kine {

// $KINE_BIN_DIR, else ../bin beside the test.
std::string RecorderPath();

// A directory of its own, removed at the end.
class TestDirectory {
 public:
  TestDirectory();
  ~TestDirectory();
  TestDirectory(const TestDirectory&) = delete;
  TestDirectory& operator=(const TestDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string video() const { return path_ + "/video.mp4"; }
  UniqueFd Open() const;

 private:
  std::string path_;
};

class RealRecorder {
 public:
  explicit RealRecorder(std::vector<std::string> flags = {});
  // Kills what still runs.
  ~RealRecorder();
  RealRecorder(const RealRecorder&) = delete;
  RealRecorder& operator=(const RealRecorder&) = delete;

  void Send(const link::ToRecorder& message, UniqueFd fd = UniqueFd());
  void SendText(std::string text, UniqueFd fd = UniqueFd());
  // The next message of this kind; those before it are kept in seen().
  // Nothing when the link ends or nothing comes for 20 s.
  template <typename T>
  std::optional<T> Wait() {
    while (true) {
      std::optional<link::ToDaemon> message = Next();
      if (!message.has_value()) return std::nullopt;
      seen_.push_back(*message);
      if (auto* found = std::get_if<T>(&seen_.back())) return *found;
    }
  }
  const std::vector<link::ToDaemon>& seen() const { return seen_; }

  void CloseLink() { link_.Reset(); }
  void Signal(int signal);
  // Waits for the end; the exit status of waitpid, or -1 after `deadline`
  // (then it is killed).
  int Join(absl::Duration deadline = absl::Seconds(10));
  // utime + stime so far.
  absl::Duration CpuTime() const;
  pid_t pid() const { return pid_; }

 private:
  std::optional<link::ToDaemon> Next();

  pid_t pid_ = -1;
  UniqueFd link_;
  std::vector<link::ToDaemon> seen_;
};

struct Output {
  int status = -1;  // Of waitpid.
  std::string text;
};
// Runs `argv` and takes its standard output. `fd3` becomes descriptor 3.
Output RunProgram(const std::vector<std::string>& argv, int fd3 = -1);

}  // namespace kine
