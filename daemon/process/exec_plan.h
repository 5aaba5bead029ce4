// What kinescope-exec is told, and what its failures mean.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/base/fd.h"
#include "daemon/process/process_request.h"

namespace kine {

struct ExecPlanInput {
  const ProcessRequest& request;
  std::string owner;
  std::string id;
  std::string instance;
  std::string socket_path;
  uint64_t original_nofile = 1'024;
  bool cgroup = false;  // Descriptor 5 is its cgroup.procs.
};

// The plan as a sealed memfd. Blocks for the user's entry in /etc/passwd and
// its like: on the spawn thread. 422 user_not_found.
absl::StatusOr<UniqueFd> MakeExecPlan(const ExecPlanInput& input);

// "NAME=value", sorted: this process' environment less what is the daemon's
// alone, with HOME, USER, SHELL of the user, the preset, the request's, and the
// mark by which a process is known as a child of this command.
std::vector<std::string> CommandEnvironment(const ExecPlanInput& input,
                                            const std::string& home,
                                            const std::string& user,
                                            const std::string& shell);

inline constexpr char kProcessIdVariable[] = "KINESCOPE_PROCESS_ID";
inline constexpr char kInstanceVariable[] = "KINESCOPE_INSTANCE";

// An error with its own code: 422 workdir_not_found, exec_not_found,
// permission_denied, exec_format, arguments_too_long; otherwise 422
// start_failed with the stage's name. `stage` is a KINE_STAGE_....
absl::Status ExecError(int stage, int error, const ProcessRequest& request);

}  // namespace kine
