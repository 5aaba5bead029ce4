// EventLogFile: a recording's events.ndjson, opened so that lines can be
// appended to it, whatever a crash left of it.
//
// Blocks; FileIo's worker.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "daemon/base/fd.h"
#include "daemon/control/recovery/recovery_report.h"

namespace kine {

struct EventLogFile {
  UniqueFd fd;
  uint64_t end = 0;  // Behind the last good line.
  // When the last one was written, in media time: by the wall clock, without
  // the pauses. 0 where that cannot be said.
  int64_t last_us = 0;
  std::optional<SideFileDamage> damage;
};

// Makes it where it is missing. What is no good line is cut off.
// `first_frame_at`: what media time counts from; nothing before the first one.
absl::StatusOr<EventLogFile> OpenEventLogFile(
    int dir_fd, std::optional<absl::Time> first_frame_at);

}  // namespace kine
