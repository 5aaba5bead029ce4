// ProcessTree: one command and all that came of it, to signal, end and watch:
// by its cgroup where it has one, by /proc otherwise.
//
// Control loop only; what blocks runs on the spawn thread. Destroying it drops
// the callbacks and leaves the processes as they are.
#pragma once

#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "daemon/base/limits/process.h"
#include "daemon/base/loop.h"
#include "daemon/process/cgroups.h"
#include "daemon/process/child_process.h"
#include "daemon/process/proc_tree.h"

namespace kine {

class ProcessTree {
 public:
  // Who is left; nobody: it is over, and no further call comes.
  using OnLeft = absl::AnyInvocable<void(std::vector<pid_t> left)>;

  // `leaf` may be null.
  ProcessTree(Loop& loop, Spawner& spawner, TreeMark mark,
              std::shared_ptr<const CgroupLeaf> leaf);
  ~ProcessTree();
  ProcessTree(const ProcessTree&) = delete;
  ProcessTree& operator=(const ProcessTree&) = delete;

  const char* by() const { return leaf_ != nullptr ? "cgroup" : "walk"; }
  const CgroupLeaf* leaf() const { return leaf_.get(); }
  // Once, to all that are there.
  void Signal(int signal);
  // SIGKILL until nobody is left or limits::kTreeRoundsMax is reached.
  void KillAll();
  // Calls `on_left` now (later, never inside the call) and whenever somebody of
  // it has ended.
  void Watch(OnLeft on_left);

 private:
  void Look();
  void OnFound(std::vector<pid_t> left);
  void Round(int rounds);

  Loop& loop_;
  Spawner& spawner_;
  const TreeMark mark_;
  const std::shared_ptr<const CgroupLeaf> leaf_;
  const std::shared_ptr<ProcessTree*> self_;
  OnLeft on_left_;
  bool looking_ = false;
  bool killing_ = false;
  UniqueFd events_;
  LoopHandle events_watch_;
  LoopHandle again_;
  LoopHandle round_;
  struct Watched {
    UniqueFd pidfd;
    LoopHandle watch;
  };
  std::vector<Watched> watched_;
};

}  // namespace kine
