// ProcessRecord: all that kinescoped knows of one command, as a value.
//
// Control loop only; no I/O.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "daemon/base/clock.h"
#include "daemon/process/process_request.h"

namespace kine {

class JsonOut;

// Only these steps exist:
//
//   starting -> running -> exited          nothing of its tree is left
//       |          |   \-> orphan -> exited   itself gone, its tree is not
//       +----------+-> exited
//
// An orphan is also what an earlier daemon left running.
enum class ProcessState { kStarting, kRunning, kOrphan, kExited };
const char* ProcessStateName(ProcessState state);
std::optional<ProcessState> ProcessStateFromName(absl::string_view name);

enum class ExitReason {
  kExited,
  kSignaled,
  kOomKilled,  // Only on the evidence of its cgroup.
  kDeadline,
  kCanceled,
  kOutputLimit,
  kStartFailed,
  kLost,  // It ended while no daemon watched.
};
const char* ExitReasonName(ExitReason reason);
std::optional<ExitReason> ExitReasonFromName(absl::string_view name);

// What getrusage(2) says of the process itself and the children it waited for.
struct ProcessUsage {
  int64_t user_us = 0;
  int64_t system_us = 0;
  int64_t max_rss_bytes = 0;
  int64_t major_faults = 0;
  int64_t read_blocks = 0;
  int64_t written_blocks = 0;
};

struct ProcessExit {
  // At most one of the two; none when lost or not started.
  std::optional<int> code;
  std::optional<int> signal;
  bool core_dumped = false;
  ExitReason reason = ExitReason::kExited;
  // start_failed: "workdir_not_found", "exec_not_found", "permission_denied"
  // and so on; with `message` for people.
  std::string error;
  std::string message;
  std::optional<ProcessUsage> usage;
  std::optional<uint64_t> memory_peak_bytes;  // Of the whole tree: cgroup.
  absl::Time at;
  std::optional<int64_t> mono_us;  // On this instance's clock.
};

struct ProcessRecord {
  std::string id;
  std::string owner;
  ProcessRequest request;
  std::string digest;  // DigestOf(request).
  ProcessState state = ProcessState::kStarting;
  pid_t pid = 0;  // 0 until started.
  // Of this instance? False: found after the daemon's restart.
  bool adopted = false;
  absl::Time started_at;
  std::optional<int64_t> started_mono_us;
  std::optional<ProcessExit> exit;
  bool ready = false;            // The request's condition has come true.
  std::vector<pid_t> leftovers;  // Of its tree, while an orphan.
  std::string tree_by;           // "cgroup" or "walk": how the tree is known.
  std::vector<std::string> recordings;  // Those that it became a chapter of.

  bool ended() const { return exit.has_value(); }
};

// The members of a state reply but for its `output`, into an open object.
void WriteProcess(JsonOut& out, const ProcessRecord& record);
// {code|signal, core_dumped, reason, ...}: members into an open object.
void WriteExit(JsonOut& out, const ProcessExit& exit);

}  // namespace kine
