// ProcessRun: brings one command from its start to the end of its tree, and
// keeps its record and its state file true.
//
//   Start() -> OnRunStarted -> OnRunExited -> OnRunChanged* -> OnRunOver
//                    \-> (an error) OnRunOver
//   Adopt() -> OnRunChanged* -> OnRunExited -> OnRunOver
//
// Control loop only. The record outlives the run; nobody else writes it.
// Destroying a run before its end leaves the processes as they are, but the
// command itself, which is killed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "daemon/base/fd.h"
#include "daemon/base/loop.h"
#include "daemon/process/process_context.h"
#include "daemon/process/process_output.h"
#include "daemon/process/process_record.h"
#include "daemon/process/process_store.h"
#include "daemon/process/process_tree.h"

namespace kine {

class ProcessRun final : private ProcessOutput::Client {
 public:
  class Client {
   public:
    virtual ~Client() = default;
    // Its program runs; or nothing was run.
    virtual void OnRunStarted(ProcessRun& run, absl::Status status) = 0;
    // The exit is in the record; its tree may live on.
    virtual void OnRunExited(ProcessRun& run) = 0;
    // State, leftovers or readiness.
    virtual void OnRunChanged(ProcessRun& run) = 0;
    virtual void OnRunActive(ProcessRun& run) = 0;
    // Nothing of it is left. Later, never inside a call; may destroy the run.
    virtual void OnRunOver(ProcessRun& run) = 0;
  };

  ProcessRun(ProcessContext& context, MakeProcessOutput& make_output,
             ProcessRecord& record, Client& client);
  ~ProcessRun() override;

  void Start();
  // What an earlier daemon left: its process may live still.
  void Adopt(const StoredProcess& stored);

  // TERM or what the request says, grace, KILL, for the whole tree. The first
  // reason counts.
  void Stop(ExitReason reason, absl::Duration grace);
  void SignalProcess(int signal, bool group);
  void SignalTree(int signal);

  ProcessRecord& record() { return record_; }
  ProcessOutput* output() { return output_.get(); }
  bool over() const { return over_; }
  // What was told of it last is that something is left; OnRunOver tells anew.
  bool was_orphan() const { return was_orphan_; }

 private:
  // Made on the spawn thread.
  struct Prepared {
    std::shared_ptr<CgroupLeaf> leaf;
    uint64_t start_ticks = 0;
  };

  absl::Status MakeStreams(Spawner::Command& command, ProcessFds& fds);
  void OnSpawned(absl::StatusOr<std::unique_ptr<ChildProcess>> child);
  void ReadExecError(bool exited);
  void FailStart(absl::Status status);
  void OnChildExit(const ExitStatus& exit);
  void SetExit(ProcessExit exit);
  void TellExit(ProcessExit exit);
  void FollowTree();
  void OnLeft(std::vector<pid_t> left);
  void Over();
  void ProbePort();
  void SetReady();
  void MakeTree();
  StoredProcess Stored() const;
  void OnOutputLimit() override;
  void OnPatternFound() override;
  void OnOutputRead() override;

  ProcessContext& context_;
  MakeProcessOutput& make_output_;
  ProcessRecord& record_;
  Client& client_;
  const std::shared_ptr<ProcessRun*> self_;
  std::shared_ptr<Prepared> prepared_;
  std::string instance_;  // Whose mark its processes carry.
  std::unique_ptr<ProcessOutput> output_;
  std::unique_ptr<ChildProcess> child_;
  std::unique_ptr<ProcessTree> tree_;
  UniqueFd exec_error_;
  UniqueFd orphan_;  // The pidfd of one that is nobody's child.
  std::optional<ExitReason> stop_reason_;
  std::optional<absl::Duration> stop_grace_;
  bool running_ = false;  // Its program has been executed.
  bool over_ = false;
  bool was_orphan_ = false;
  LoopHandle exec_watch_;
  LoopHandle exec_deadline_;
  LoopHandle orphan_watch_;
  LoopHandle deadline_;
  LoopHandle kill_;
  LoopHandle port_;
  LoopHandle over_task_;
};

}  // namespace kine
