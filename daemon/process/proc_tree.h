// Which processes belong to a command, told from /proc: its session, its
// descendants, and those that carry its mark in their environment. For machines
// where the command has no cgroup of its own.
//
// Blocking, a millisecond for some hundred processes: on the spawn thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace kine {

struct ProcEntry {
  pid_t pid = 0;
  pid_t parent = 0;
  pid_t group = 0;
  pid_t session = 0;
  bool zombie = false;
  // In execve, or dying: it has no environment at this moment. Also where that
  // cannot be read.
  bool between_programs = false;
  uint64_t start_ticks = 0;
};
// Nothing: it has gone.
bool ReadProcEntry(pid_t pid, ProcEntry& entry);
// The text of /proc/PID/stat.
bool ParseProcStat(absl::string_view text, ProcEntry& entry);
std::vector<ProcEntry> ReadProc();

struct TreeMark {
  pid_t root = 0;  // The command's own pid, and its session.
  // Of the root. Another process with its number is not the root, and its
  // session not the tree's.
  uint64_t start_ticks = 0;
  std::string id;        // KINESCOPE_PROCESS_ID,
  std::string instance;  // KINESCOPE_INSTANCE of its environment.
  // Look at every process' environment: what an earlier daemon left is nobody's
  // child that we know.
  bool everywhere = false;
};

// Its living processes (no zombies). `root` counts too while it lives.
std::vector<ProcEntry> FindTree(const TreeMark& mark);
// The same from a list; `marked` says whether a process carries the mark.
std::vector<ProcEntry> TreeOf(const std::vector<ProcEntry>& all,
                              const TreeMark& mark, pid_t self,
                              bool (*marked)(pid_t, const TreeMark&));

// Sends `signal` to them all; to whole groups, so that nothing that is being
// forked meanwhile escapes. Returns who was there.
std::vector<pid_t> SignalTree(const TreeMark& mark, int signal);

// Whether this thread's process has children of this thread: adopted ones, when
// all its own are another thread's.
bool HasAdoptedChildren();

}  // namespace kine
