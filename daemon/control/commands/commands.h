// Commands: everything of kinescoped that has to do with running commands, put
// together: the table, their output, their routes, what is told of them.
//
// Control loop only. What the options refer to outlives it, and so does the
// server's use of its routes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "daemon/base/fd.h"
#include "daemon/control/catalogue.h"
#include "daemon/control/commands/process_routes.h"
#include "daemon/output/output_pool.h"
#include "daemon/process/cgroups.h"
#include "daemon/process/process_context.h"
#include "daemon/process/process_table.h"
#include "ipc/event_ring.h"

namespace kine {

class Commands final : private ProcessObserver {
 public:
  struct Options {
    std::string exec_path;
    std::string instance;
    std::string boot_id;
    std::string socket_path;
    uint64_t original_nofile = 0;
    bool kill_orphans = false;
    bool owner_optional = false;
  };
  // Makes <state>/processes below `state_fd` and reads what an earlier daemon
  // left there. Blocks, for the start.
  static absl::StatusOr<std::unique_ptr<Commands>> Create(
      Loop& loop, Spawner& spawner, FileIo& file_io, int state_fd,
      EventRing& events, Catalogue& recordings, const Options& options);

  std::vector<Route> Routes();
  // Ends all of them; see ProcessTable.
  void Shutdown(absl::AnyInvocable<void()> done);

  const ProcessTable& table() const { return *table_; }
  OutputMetrics& output_metrics() { return pool_.metrics(); }
  const ProcessContext& context() const { return context_; }

 private:
  Commands(Loop& loop, Spawner& spawner, FileIo& file_io, UniqueFd directory,
           EventRing& events, Catalogue& recordings, const Options& options);

  absl::Status CheckRecording(const std::string& recording_id,
                              const std::string& owner) override;
  void OnProcessState(const ProcessRecord& record) override;
  std::vector<std::string> OnProcessChapter(
      const ProcessRecord& record) override;
  void OnProcessActivity(const ProcessRecord& record) override;

  EventRing& events_;
  Catalogue& recordings_;
  const UniqueFd directory_;
  Cgroups cgroups_;
  OutputPool pool_;
  ProcessContext context_;
  std::unique_ptr<ProcessTable> table_;
  std::unique_ptr<ProcessRoutes> routes_;
  std::unique_ptr<CompatProcesses> compat_;
};

}  // namespace kine
