// The daemon's options: flags, --flagfile and environment, checked and turned
// into one value. Only options.cc and main.cc see Abseil's flags.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/control/catalogue.h"
#include "daemon/control/replay/replay_ring.h"
#include "daemon/storage/create_file_io.h"

namespace kine {

struct Options {
  std::string socket_path;  // Unused when the service manager passes a socket.
  mode_t socket_mode = 0600;
  std::optional<gid_t> socket_group;
  std::vector<uid_t> allowed_uids;
  std::string state_dir;
  std::string recorder_path;
  std::string exec_path;      // kinescope-exec.
  std::string render_node;    // "": the recorders look for one.
  bool kill_orphans = false;  // What an earlier daemon left is ended.
  bool owner_optional = false;
  SourceRequest desktop_source;  // What /api/v0/desktop records.
  ReplayRing::Options replay;
  FileIoChoice file_io = FileIoChoice::kAuto;
  RecordingSettings::Encoder encoder = RecordingSettings::Encoder::kAuto;
  CatalogueLimits limits{0, 0};
  QueuePackets queue_packets{0, 0};
};

// After absl::ParseCommandLine. INVALID_ARGUMENT or FAILED_PRECONDITION names
// the flag or variable, its limits and what to do.
absl::StatusOr<Options> ReadOptions();

// KINESCOPE_QUEUE_PACKETS over the default; for the profile `instant`
// KINESCOPE_QUEUE_PACKETS_INSTANT over both.
absl::StatusOr<QueuePackets> QueuePacketsFromEnvironment();

}  // namespace kine
