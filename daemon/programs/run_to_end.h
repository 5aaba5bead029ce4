// RunToEnd: a program from its start to its end, within a deadline.
//
// Any thread; blocks.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "daemon/programs/start_program.h"

namespace kine {

struct RunLimits {
  absl::Duration deadline;
  size_t output_bytes = 64u << 10;
  // Readable: the caller wants out. -1: never.
  int cancel_fd = -1;
};

struct RunResult {
  // It ran longer than the deadline and was killed; `exit` says nothing.
  bool hung = false;
  ExitStatus exit;
  std::string output;
  std::string errors;  // Standard error; the first 16 KiB.
};

// Starts `command` (its standard_output and standard_error are replaced) and
// waits for its end. What it printed is there in every case, whole or not.
// Errors: it could not be started; RESOURCE_EXHAUSTED, more output than allowed
// (it is killed); CANCELLED (it is killed). One that cannot be killed, because
// the kernel holds it, is left behind after a second.
absl::StatusOr<RunResult> RunToEnd(ProgramCommand command,
                                   const RunLimits& limits);

}  // namespace kine
