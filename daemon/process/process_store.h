// What is on the disk of the commands: <state>/processes/ID.json, written
// before a command is started, when it has its pid, and when it has ended; so
// that the next daemon knows what this one ran, and an id never runs twice.
//
// Not synced: it has to survive the daemon, not the machine, with which the
// processes go too. Blocking.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "daemon/process/process_record.h"

namespace kine {

struct StoredProcess {
  ProcessRecord record;
  std::string instance;  // Of the daemon that started it.
  std::string boot_id;
  uint64_t start_ticks = 0;  // Of record.pid; 0: it has none yet.
  bool receipt = false;      // Only id, owner, digest and exit are left.
  bool fence = false;        // Cancelled before it came.
};

std::string ToText(const StoredProcess& process);
absl::StatusOr<StoredProcess> ParseStored(absl::string_view text);

absl::Status SaveProcess(int directory, const StoredProcess& process);
void RemoveProcess(int directory, const std::string& id);
// Damaged files are renamed out of the way and named in `damaged`.
std::vector<StoredProcess> LoadProcesses(int directory,
                                         std::vector<std::string>& damaged);

}  // namespace kine
