// Cgroups: one cgroup (version 2) a command, where this daemon may make them;
// otherwise the reason why not.
//
// Find() once at the start. Make() and Remove() block for the kernel: on the
// spawn thread, and only there. A CgroupLeaf is used on the control loop; its
// calls are one read or write of a cgroup file each.
//
// An id may be started again while the last of its former run is still leaving,
// and then has the same directory: a leaf is the newest run's, and removing it
// for an earlier one does nothing.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "daemon/base/fd.h"
#include "daemon/process/process_request.h"

namespace kine {

// One command's cgroup, empty or not. Destroying it leaves the directory.
class CgroupLeaf {
 public:
  // `made`: the number of its Make(); 0 when this daemon found it.
  CgroupLeaf(std::string path, UniqueFd directory, std::string name,
             uint64_t made)
      : path_(std::move(path)),
        name_(std::move(name)),
        directory_(std::move(directory)),
        made_(made) {}

  // As in /proc/PID/cgroup.
  const std::string& path() const { return path_; }
  const std::string& name() const { return name_; }
  uint64_t made() const { return made_; }
  // For a child that begins in it.
  absl::StatusOr<UniqueFd> OpenDirectory() const;
  // For whoever joins it by writing "0".
  absl::StatusOr<UniqueFd> OpenProcs() const;
  // SIGKILL to all in it, at once, also to those that are being forked.
  // UNIMPLEMENTED before Linux 5.14.
  absl::Status Kill() const;
  std::vector<pid_t> Pids() const;
  // Null: cannot be told.
  std::optional<bool> Populated() const;
  // Readable by EPOLLPRI whenever Populated() changes; read it again then.
  UniqueFd OpenEvents() const;
  // Times the kernel killed in it for want of memory.
  std::optional<uint64_t> OomKills() const;
  std::optional<uint64_t> MemoryPeak() const;

 private:
  const std::string path_;
  const std::string name_;
  const UniqueFd directory_;
  const uint64_t made_;
};

class Cgroups {
 public:
  // The cgroup of all commands is named after the device and inode of
  // `state_fd`, the daemon's state directory: its next run finds it again, and
  // another daemon in the same service or container has another.
  static Cgroups Find(int state_fd);
  // `mountinfo` and `self` are the texts of /proc/self/mountinfo and
  // /proc/self/cgroup.
  static Cgroups FindIn(absl::string_view mountinfo, absl::string_view self,
                        std::string name);
  // Removes the commands' cgroup when it is empty.
  ~Cgroups();
  Cgroups(Cgroups&&) = default;
  Cgroups& operator=(Cgroups&&) = delete;

  bool usable() const { return root_.valid(); }
  // Why it is not usable, or where the commands' cgroups are.
  const std::string& reason() const { return reason_; }
  // "pids memory cpu" of those that limits may use; and why not the others.
  const std::vector<std::string>& controllers() const { return controllers_; }
  const std::string& controllers_reason() const { return controllers_reason_; }

  // UNIMPLEMENTED when a limit needs a controller that is not there. A
  // directory left of the same name is used again when it is empty.
  absl::StatusOr<std::unique_ptr<CgroupLeaf>> Make(
      const std::string& name, const ProcessRequest::Limits& limits);
  // One that an earlier daemon made; null when there is none.
  std::unique_ptr<CgroupLeaf> Open(const std::string& name) const;
  // OK when it is gone, or belongs to a later Make(). EBUSY while populated.
  absl::Status Remove(const CgroupLeaf& leaf);
  // UNIMPLEMENTED with the reason when `limits` cannot be kept here.
  absl::Status Check(const ProcessRequest::Limits& limits) const;

 private:
  Cgroups() = default;
  std::unique_ptr<CgroupLeaf> OpenLeaf(const std::string& name,
                                       uint64_t made) const;
  absl::Status Limit(const std::string& name,
                     const ProcessRequest::Limits& limits) const;

  std::string reason_;
  std::string name_;  // Of root_ in parent_.
  std::string path_;  // Of root_, as in /proc/PID/cgroup.
  UniqueFd parent_;
  UniqueFd root_;
  std::vector<std::string> controllers_;
  std::string controllers_reason_;
  // Spawn thread.
  uint64_t made_ = 0;
  std::map<std::string, uint64_t> newest_;  // Of each name that is there.
};

}  // namespace kine
