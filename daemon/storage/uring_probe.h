// Finds out whether io_uring works here, in a child process: some sandboxes
// answer io_uring_setup() with SIGKILL or SIGSYS rather than with an error.
//
// kinescoped probes once at its start, off its loop, and hands the answer to
// its recorders, so that no recording waits for it.
#pragma once

#include <string>

namespace kine {

struct UringProbe {
  bool usable = false;
  // What was found, for people: /v1/info, kinectl doctor.
  std::string reason;
};

// The exit codes of the child: 0 works, below kUringProbeStageBase the errno of
// the set-up, else the stage that failed after it. 127 is a program that could
// not be started.
inline constexpr int kUringProbeExecFailed = 127;
inline constexpr int kUringProbeStageBase = 200;
enum class UringProbeStage {
  kPrepare,
  kWrite,
  kSync,
  kReserve,
  kReadBack,
  kDemoted
};

// The one-shot mode `--probe_io` of a program: sets a ring up as UringFileIo
// does, and writes, syncs and reserves through it. Returns the exit code that
// RunUringProbe() understands. Prints nothing.
int ProbeUringMain();

// Runs `executable --probe_io` and waits, at most limits::kUringProbeMs. Says
// no without running it when the sysctl kernel.io_uring_disabled does. Blocks:
// call at start-up or on a worker.
UringProbe RunUringProbe(const std::string& executable);

// RunUringProbe, once a process; later calls return the same. Any thread.
const UringProbe& UringProbeOnce(const std::string& executable);

// The text for a ring that could not be set up: what was tried, why, what the
// reader can do. `error` is an errno.
std::string UringErrorText(int error);

}  // namespace kine
