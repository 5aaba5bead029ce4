// ProcessState: the part of the daemon's reply about a command that kinectl
// acts on and shows.
//
// A value; any thread. What the daemon did not send keeps its default.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace kinectl {

struct ProcessState {
  std::string id;
  std::string state;
  std::string command;
  std::string started_at;
  int pid = 0;
  bool ended = false;
  std::string reason;  // From here on: when ended.
  std::optional<int> code;
  std::string signal;  // "SIGTERM"
  std::string error;   // start_failed: "exec_not_found"
  std::string message;

  // As a shell would have it: 128 + signal; 126 and 127 when it did not start.
  int ExitCode() const;
  // "running", "exit 0", "SIGKILL (deadline)"
  std::string Outcome() const;
};

absl::StatusOr<ProcessState> ParseProcessState(absl::string_view json);

// 15 of "SIGTERM"; 0 of what is none.
int SignalNumber(absl::string_view name);
bool IsProcessId(const std::string& id);

}  // namespace kinectl
