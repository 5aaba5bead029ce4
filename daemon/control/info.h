// What GET /v1/info and GET /metrics say.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "daemon/base/metrics.h"
#include "daemon/control/catalogue.h"
#include "daemon/control/commands/commands.h"
#include "daemon/control/record_store.h"
#include "daemon/control/recorders/recorder_pool.h"
#include "daemon/control/replay/replay_ring.h"
#include "ipc/link_messages.h"
#include "ipc/server.h"

namespace kine {

// Fixed at the start, except for what the recorder's description fills in.
struct DaemonInfo {
  std::string instance;
  std::string boot_id;
  absl::Time started_at;
  std::string state_path;
  CatalogueLimits limits;
  QueuePackets queue_packets{0, 0};
  std::string file_io;         // What recorders write with.
  std::string file_io_reason;  // Why.
  std::string render_node;     // --render_node, if given.
  // From `kinescope-recorder --describe`; empty until it has answered.
  std::vector<std::string> encoders;
  std::vector<link::Refusal> encoders_refused;
  std::string recorder_error;  // Why there is no description.
  // What holds the trees of commands: see Cgroups.
  bool cgroups_usable = false;
  std::string cgroups_reason;
  std::string cgroup_start;  // "clone3", "moved" (slower), or none.
  std::vector<std::string> cgroup_controllers;
  std::string cgroup_controllers_reason;
  std::vector<Stranger> strangers;
};

std::string InfoJson(const DaemonInfo& info, const RecorderPool& recorders,
                     const ReplayRing& replay);

// Of a daemon with everything and of one with nothing: for the document.
std::vector<std::string> InfoSamples();

// OpenMetrics text, less than 300 series.
std::string MetricsText(const Catalogue& catalogue,
                        const RecorderPool& recorders, const ReplayRing& replay,
                        Commands& commands, const ServerMetrics& server,
                        const Histogram& loop_turns);

}  // namespace kine
