// What `kinectl doctor` looks at, as plain values: GatherFacts() asks the
// machine, tests write them down.
//
// GatherFacts blocks for up to a few seconds; any one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace kine {

struct DoctorFacts {
  struct Daemon {
    // Of GET /v1/info; the members below are filled in when it is OK.
    absl::Status reached;
    std::string version;
    std::string started_at;
    std::string state_dir;
    std::string render_node;  // --render_node.
    std::vector<std::string> encoders;
    std::vector<std::pair<std::string, std::string>> refused;  // Name, reason.
    std::string recorder_error;
    std::string file_io;
    std::string file_io_reason;
    bool cgroups_usable = false;
    std::string cgroups_reason;
    std::string cgroup_start;  // "clone3", "moved".
    std::vector<std::string> cgroup_controllers;
    std::string cgroup_controllers_reason;
    std::vector<std::pair<std::string, std::string>> strangers;  // Reasons.
  };
  struct Node {
    std::string path;
    int error = 0;  // The errno of opening it.
    std::string group;
    uint32_t mode = 0;
    std::string kernel_driver;
  };

  std::string version;  // Of this program.
  std::string kernel;
  std::string distribution;
  std::string machine;
  int cpus = 0;
  std::string user;
  // LIBVA_*, XDG_* and KINESCOPE_RENDER_NODE that are used, and nothing else.
  std::vector<std::pair<std::string, std::string>> environment;

  Daemon daemon;
  // Of the programs beside us: the path or why not.
  std::string recorder;
  std::string recorder_error;
  std::string decoder_error;  // "" = there.
  std::vector<Node> nodes;

  std::string runtime_dir;
  int runtime_dir_error = 0;  // An errno.
  std::string pipewire_socket;
  std::string pipewire_error;  // "" = somebody answers.

  std::string state_dir;
  std::string state_dir_error;
  std::optional<uint64_t> state_free_bytes;
  // Without a daemon to ask: what it would choose. "" = not known.
  std::string file_io;
  std::string file_io_reason;
};

// Reads the body of GET /v1/info. INVALID_ARGUMENT names the member.
absl::Status BindInfo(absl::string_view json, DoctorFacts::Daemon& daemon);

// All but `daemon`, which comes from the caller's client.
DoctorFacts GatherFacts(DoctorFacts::Daemon daemon);

}  // namespace kine
