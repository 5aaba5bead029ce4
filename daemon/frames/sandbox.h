// EnterSandbox: from then on this process can read and write what it has open,
// allocate, and end; nothing else. For parsing what strangers wrote.
//
// Once, on the only thread, after every library was loaded. There is no way
// back.
#pragma once

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace kine::frames {

struct SandboxLimits {
  // Of wall clock and of CPU; then the process dies by SIGALRM.
  absl::Duration time;
  uint64_t memory_bytes = 0;
  uint64_t output_bytes = 0;  // Of one file.
};

// The errors of the system calls. Under ASan and TSan only the time is limited:
// their own work needs what the sandbox forbids.
absl::Status EnterSandbox(const SandboxLimits& limits);

}  // namespace kine::frames
