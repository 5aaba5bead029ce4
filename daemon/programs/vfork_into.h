// VforkInto: a child that begins its life in a cgroup.
//
// Why not posix_spawn, and the child then writes itself into cgroup.procs: to
// move a living process the kernel stops all forks of the machine and waits for
// an RCU grace period, 19 ms at best on the kernel this was measured with
// (6.18, a start every 30 ms). A child that clone3(CLONE_INTO_CGROUP) creates
// there needs neither: 0.1 ms. glibc's posix_spawn can ask for it from 2.39 on,
// Debian 12 has 2.36.
//
// Any thread.
#pragma once

#include <sys/types.h>

#include "absl/status/statusor.h"
#include "daemon/base/fd.h"

namespace kine {

// What the child does before its program. All of it is the caller's.
struct VforkPlan {
  int cgroup_fd = -1;  // A version 2 directory.
  // sources[i] becomes descriptor i. Every source is `count` or above; nothing
  // but descriptors 0 to count - 1 is left.
  const int* sources = nullptr;
  int count = 0;
  bool own_session = false;  // Else a process group of its own.
  const char* path = nullptr;
  char* const* argv = nullptr;
  char* const* environment = nullptr;
};

struct VforkChild {
  pid_t pid = -1;
  UniqueFd pidfd;
};

// Linux 5.7 on x86-64, where no seccomp filter forbids it. Asked of the kernel
// at the first call.
bool CanVforkInto();

// With default signals and an empty mask. Blocks until the child has executed
// its program; an error is that of clone3 or of what the child did, and then
// there is no child.
absl::StatusOr<VforkChild> VforkInto(const VforkPlan& plan);

}  // namespace kine
