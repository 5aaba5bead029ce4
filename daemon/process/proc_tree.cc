#include "daemon/process/proc_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <set>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "daemon/base/fd.h"
#include "daemon/base/limits/process.h"
#include "daemon/process/exec_plan.h"

namespace kine {
namespace {

// A file of /proc, cut at `max` bytes; "" when it cannot be read.
std::string ReadProcFile(pid_t pid, const char* name, size_t max) {
  const UniqueFd fd(::open(absl::StrCat("/proc/", pid, "/", name).c_str(),
                           O_RDONLY | O_CLOEXEC));
  std::string text;
  if (!fd.valid()) return text;
  while (text.size() < max) {
    const size_t old = text.size();
    text.resize(old + 4'096);
    const ssize_t count = ::read(fd.get(), text.data() + old, 4'096);
    text.resize(old + static_cast<size_t>(count > 0 ? count : 0));
    if (count <= 0) break;
  }
  return text;
}

bool MayRead(pid_t pid, const char* name) {
  const std::string path = absl::StrCat("/proc/", pid, "/", name);
  return UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)).valid() ||
         errno == ESRCH;  // It has no memory any more.
}

// One that is between two programs has no environment for a moment: execve has
// taken the old one and not made the new. Nor has one that is dying and no
// zombie yet, which counts as alive until it is. Waits for it; at most 0.1 s.
constexpr int kExecLooks = 10'000;

std::string ReadEnvironment(pid_t pid) {
  for (int i = 0; i < kExecLooks; ++i) {
    // ARG_MAX bounds what execve takes.
    std::string text = ReadProcFile(pid, "environ", 4u << 20);
    ProcEntry entry;
    if (!text.empty() || !ReadProcEntry(pid, entry) ||
        !entry.between_programs || !MayRead(pid, "environ"))
      return text;
    ::sched_yield();
  }
  return "";
}

bool CarriesMark(pid_t pid, const TreeMark& mark) {
  const std::string text = ReadEnvironment(pid);
  const std::string id = absl::StrCat(kProcessIdVariable, "=", mark.id);
  const std::string instance =
      absl::StrCat(kInstanceVariable, "=", mark.instance);
  bool has_id = false;
  bool has_instance = false;
  for (const absl::string_view variable : absl::StrSplit(text, '\0')) {
    has_id |= variable == id;
    has_instance |= variable == instance;
  }
  return has_id && has_instance;
}

}  // namespace

bool ParseProcStat(absl::string_view text, ProcEntry& entry) {
  // The name is in parentheses and may hold any character, ')' too.
  const size_t open = text.find('(');
  const size_t close = text.rfind(')');
  if (open == text.npos || close == text.npos || close < open) return false;
  const std::vector<absl::string_view> fields =
      absl::StrSplit(text.substr(close + 1), ' ', absl::SkipEmpty());
  // state ppid pgrp session ...; the 22nd of all is the start time.
  if (fields.size() < 20) return false;
  entry.zombie = fields[0] == "Z" || fields[0] == "X";
  // The 9th: PF_KTHREAD, which never has one; the 51st: the end of the
  // environment, 0 too where we may not know it, and then it is unreadable.
  uint64_t flags = 0;
  entry.between_programs =
      !entry.zombie && fields.size() > 48 && fields[48] == "0" &&
      absl::SimpleAtoi(fields[6], &flags) && (flags & 0x0020'0000) == 0;
  return absl::SimpleAtoi(text.substr(0, open), &entry.pid) &&
         absl::SimpleAtoi(fields[1], &entry.parent) &&
         absl::SimpleAtoi(fields[2], &entry.group) &&
         absl::SimpleAtoi(fields[3], &entry.session) &&
         absl::SimpleAtoi(fields[19], &entry.start_ticks);
}

bool ReadProcEntry(pid_t pid, ProcEntry& entry) {
  return ParseProcStat(ReadProcFile(pid, "stat", 4'096), entry);
}

std::vector<ProcEntry> ReadProc() {
  std::vector<ProcEntry> all;
  DIR* directory = ::opendir("/proc");
  if (directory == nullptr) return all;
  while (const dirent* name = ::readdir(directory)) {
    pid_t pid = 0;
    ProcEntry entry;
    if (absl::SimpleAtoi(name->d_name, &pid) && ReadProcEntry(pid, entry))
      all.push_back(entry);
    if (all.size() == limits::kProcEntriesMax) break;
  }
  ::closedir(directory);
  return all;
}

std::vector<ProcEntry> TreeOf(const std::vector<ProcEntry>& all,
                              const TreeMark& mark, pid_t self,
                              bool (*marked)(pid_t, const TreeMark&)) {
  absl::flat_hash_map<pid_t, std::vector<const ProcEntry*>> children;
  absl::flat_hash_set<pid_t> seen;
  std::vector<const ProcEntry*> queue;
  std::vector<ProcEntry> members;
  const auto add = [&](const ProcEntry& entry) {
    if (entry.pid == self || entry.pid <= 1) return;
    if (seen.insert(entry.pid).second) queue.push_back(&entry);
  };
  bool root_counts = mark.root > 1;
  for (const ProcEntry& entry : all)
    if (entry.pid == mark.root && entry.start_ticks != mark.start_ticks)
      root_counts = false;
  for (const ProcEntry& entry : all) {
    children[entry.parent].push_back(&entry);
    if ((root_counts &&
         (entry.pid == mark.root || entry.session == mark.root)) ||
        ((mark.everywhere || entry.parent == self) && !entry.zombie &&
         marked(entry.pid, mark)))
      add(entry);
  }
  while (!queue.empty()) {
    const ProcEntry* entry = queue.back();
    queue.pop_back();
    if (!entry->zombie) members.push_back(*entry);
    for (const ProcEntry* child : children[entry->pid]) add(*child);
  }
  return members;
}

std::vector<ProcEntry> FindTree(const TreeMark& mark) {
  return TreeOf(ReadProc(), mark, ::getpid(), CarriesMark);
}

std::vector<pid_t> SignalTree(const TreeMark& mark, int signal) {
  std::vector<pid_t> found;
  std::set<pid_t> groups;
  const pid_t own = ::getpgrp();
  for (const ProcEntry& entry : FindTree(mark)) {
    found.push_back(entry.pid);
    // A group lies within one session, and its sessions are the tree's alone.
    if (entry.group > 1 && entry.group != own)
      groups.insert(entry.group);
    else if (signal != 0)
      ::kill(entry.pid, signal);
  }
  if (signal != 0)
    for (const pid_t group : groups) ::kill(-group, signal);
  return found;
}

bool HasAdoptedChildren() {
  siginfo_t info;
  return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WNOTHREAD) ==
         0;
}

}  // namespace kine
