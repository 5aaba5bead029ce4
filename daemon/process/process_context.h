// What the processes need of the daemon, and what they tell it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "daemon/base/fd.h"
#include "daemon/base/loop.h"
#include "daemon/process/cgroups.h"
#include "daemon/process/child_process.h"
#include "daemon/process/process_record.h"

namespace kine {

// What others want to know of the commands. Control loop only; never called
// inside a call of the table's that its implementer made.
class ProcessObserver {
 public:
  virtual ~ProcessObserver() = default;
  // "process.state", with the whole record: for GET /v1/events.
  virtual void OnProcessState(const ProcessRecord& record) = 0;
  // Whether a command of `owner` may belong to the recording that it names: an
  // error names `recording_id`.
  virtual absl::Status CheckRecording(const std::string& recording_id,
                                      const std::string& owner) = 0;
  // It has started (exit empty) or ended: a chapter of the owner's recordings,
  // or of `record.request.recording_id`. Returns the recordings' ids.
  virtual std::vector<std::string> OnProcessChapter(
      const ProcessRecord& record) = 0;
  // The owner's command did something: the idle stop waits.
  virtual void OnProcessActivity(const ProcessRecord& record) = 0;
};

struct ProcessContext {
  Loop& loop;
  Spawner& spawner;
  Cgroups& cgroups;
  ProcessObserver& observer;
  int state_fd;             // <state>/processes, open for the table's life.
  std::string exec_path;    // kinescope-exec.
  std::string instance;     // This run's UUID.
  std::string boot_id;      // Processes do not outlive it.
  std::string socket_path;  // For KINESCOPE_SOCKET of the commands; may be "".
  // The soft limit of open files that the daemon itself was started with.
  uint64_t original_nofile;
  bool kill_orphans = false;  // What an earlier daemon left is ended.
  // CanVforkInto(). Else a command moves to its cgroup before its program, and
  // its start takes 20 ms.
  bool begins_in_cgroup = false;
};

}  // namespace kine
