// The recorder's one-shot mode --self_test: every device in a process of its
// own, since drivers crash and hang.
//
//   kinescope-recorder --self_test [--render_node=PATH]
//     A SelfTestReport: every render node (or the one that is named) and
//     "software", one after the other.
//   kinescope-recorder --self_test_device=DEVICE
//     A SelfTestDevice in a line, at each of its stages; the last one counts.
//
// Each blocks until it is done; the main thread.
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "daemon/doctor/self_test_report.h"
#include "daemon/programs/run_to_end.h"

namespace kine {

inline constexpr char kSoftwareDevice[] = "software";

// This process tests `device` and prints. An exit code.
int SelfTestDeviceMain(const std::string& device);

// What the process that tested `device` left behind, as a result.
SelfTestDevice ResultOf(const std::string& device,
                        const absl::StatusOr<RunResult>& run,
                        absl::Duration deadline);

// Runs them all by `recorder`, this program's path. Each is killed after
// `deadline`.
SelfTestReport RunSelfTest(const std::string& recorder,
                           const std::string& render_node,
                           absl::Duration deadline);

}  // namespace kine
