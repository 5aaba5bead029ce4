// A PipeWire server of one's own: a real `pipewire` process in a directory of
// its own, with or without a session bus and WirePlumber, and programs that
// use it. Everything started is killed, by pid, when its object goes or when
// this process dies.
//
// Thread: one at a time. Sets XDG_RUNTIME_DIR, PIPEWIRE_RUNTIME_DIR and
// DBUS_SESSION_BUS_ADDRESS of this process while it exists, because libpipewire
// reads them: one at a time, and before other threads run.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace kine {

// Kills its process (SIGKILL unless Kill() did) and waits for it.
class LoggedProcess {
 public:
  // argv[0] is looked up in PATH; its output goes to `log`. NOT_FOUND when
  // there is no such program.
  static absl::StatusOr<LoggedProcess> Start(std::vector<std::string> argv,
                                             const std::string& log);
  ~LoggedProcess() { Kill(9); }
  LoggedProcess(LoggedProcess&& other) noexcept
      : pid_(std::exchange(other.pid_, -1)) {}
  LoggedProcess& operator=(LoggedProcess&& other) noexcept;

  pid_t pid() const { return pid_; }
  // Sends `signal` and waits for the end.
  void Kill(int signal);

 private:
  explicit LoggedProcess(pid_t pid) : pid_(pid) {}
  pid_t pid_;
};

class PrivatePipeWire {
 public:
  // NOT_FOUND (a reason to skip) when a program is missing. The server answers
  // when this returns.
  static absl::StatusOr<std::unique_ptr<PrivatePipeWire>> Start(
      bool with_session_manager);
  ~PrivatePipeWire();

  const std::string& directory() const { return directory_; }

  // The server only; its socket's directory stays.
  void KillServer(int signal);
  absl::Status StartServer();

  // A program in this environment; its output goes to the directory, and to
  // stderr of this process when the test fails and KINE_TEST_KEEP is set.
  absl::StatusOr<LoggedProcess> Run(std::vector<std::string> argv);

 private:
  explicit PrivatePipeWire(std::string directory);
  void SetVariable(const char* name, const std::string& value);
  absl::Status StartSessionManager();

  const std::string directory_;
  std::vector<std::pair<std::string, std::optional<std::string>>> saved_;
  std::optional<LoggedProcess> bus_;
  std::optional<LoggedProcess> server_;
  std::optional<LoggedProcess> session_manager_;
  int logs_ = 0;
};

}  // namespace kine
