// What connects the daemon with a command: pipes, a terminal, a port.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "daemon/base/fd.h"
#include "daemon/process/child_process.h"
#include "daemon/process/process_request.h"

namespace kine {

struct PipeEnds {
  UniqueFd ours;    // Does not block.
  UniqueFd theirs;  // Blocks like anybody's.
};
absl::StatusOr<PipeEnds> MakePipe(bool ours_reads);

// Gives `command` a new terminal as its standard streams; `ours` is the other
// side, which does not block.
absl::Status MakeTerminal(const ProcessRequest::Terminal& size,
                          Spawner::Command& command, UniqueFd& ours);
absl::Status ResizeTerminal(int terminal, int cols, int rows);

// Whether somebody accepts connections on the loopback port, of either family.
// Connects for an instant. Does not block.
bool PortIsOpen(uint16_t port);

}  // namespace kine
