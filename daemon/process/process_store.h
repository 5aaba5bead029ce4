// What is on the disk of the commands, so that the next daemon knows what this
// one ran, and an id never runs twice:
//   <state>/processes/ID.json     written before a command is started; a line
//                                 is appended when it has its pid, and when it
//                                 has ended
//   <state>/processes/ID.receipt  in its place, once the record is forgotten
//
// Appended and not replaced: ext4 writes out a file that is renamed over
// another (8 ms, and every start and exit would wait for it).
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

// A file's text: one JSON object a line, a later one's fields count. A last
// line that was cut short is left out.
std::string ToText(const StoredProcess& process);
absl::StatusOr<StoredProcess> ParseStored(absl::string_view text);

// The file of a command, or of a receipt; then the command's is gone.
absl::Status SaveProcess(int directory, const StoredProcess& process);
// The pid and the exit to what SaveProcess() has written.
absl::Status UpdateProcess(int directory, const StoredProcess& process);
void RemoveProcess(int directory, const std::string& id);
// Damaged files are renamed out of the way and named in `damaged`.
std::vector<StoredProcess> LoadProcesses(int directory,
                                         std::vector<std::string>& damaged);

}  // namespace kine
