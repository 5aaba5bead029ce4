// What ProcessTable holds: entries with their runs and waiters, and receipts.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "daemon/process/process_run.h"
#include "daemon/process/process_table.h"

namespace kine {

// What is left of one whose record is forgotten, or that was cancelled before
// it came.
struct ProcessReceipt {
  std::string owner;
  std::string digest;
  std::optional<ProcessExit> exit;
  bool fence = false;
  absl::Time at;  // When it became one.
};

struct ProcessWaiter {
  ProcessTable::WaitFor what;
  ProcessTable::Answer answer;
  LoopHandle deadline;
};

struct ProcessEntry {
  ProcessRecord record;
  std::vector<ProcessTable::StartAnswer> starts;  // Who waits for its start.
  std::map<uint64_t, ProcessWaiter> waiters;
  MonoTime ended;                   // When it may begin to be forgotten.
  std::unique_ptr<ProcessRun> run;  // Null: nothing of it was found running.

  bool live() const { return run != nullptr && !run->over(); }
  bool Happened(ProcessTable::WaitFor what) const;
};

class ProcessTable::Impl final : public ProcessRun::Client {
 public:
  Impl(ProcessContext& context, MakeProcessOutput make_output);
  ~Impl() override;

  void Load();
  void Start(ProcessRequest request, const std::string& owner,
             StartAnswer answer);
  absl::StatusOr<ProcessEntry*> Find(absl::string_view id,
                                     const ProcessViewer& viewer) const;
  std::vector<const ProcessRecord*> List(const ProcessViewer& viewer) const;
  void Wait(ProcessEntry& entry, WaitFor what, absl::Duration timeout,
            Answer answer);
  void Fence(const std::string& id, const std::string& owner);
  bool Known(absl::string_view id) const;
  absl::Status Delete(const std::string& id, const ProcessViewer& viewer);
  void Forget(const std::string& id);
  void Shutdown(absl::AnyInvocable<void()> done);
  ProcessOutput* OutputOf(const ProcessRecord& record) const;
  Totals totals() const { return totals_; }
  int running() const;
  int known() const { return static_cast<int>(entries_.size()); }

 private:
  void LoadOne(StoredProcess stored);
  absl::Status CheckStart(const ProcessRequest& request,
                          const std::string& owner);
  absl::Status MakeRoom();
  void AnswerWaiters(ProcessEntry& entry);
  void AddReceipt(const std::string& id, ProcessReceipt receipt);
  // In memory only.
  void KeepReceipt(const std::string& id, ProcessReceipt receipt);
  void DropOldestReceipt();
  void ArmSweep();
  void Sweep();
  void MaybeShutDown();
  void OnChildren();
  ProcessEntry& EntryOf(ProcessRun& run);
  void OnRunStarted(ProcessRun& run, absl::Status status) override;
  void OnRunExited(ProcessRun& run) override;
  void OnRunChanged(ProcessRun& run) override;
  void OnRunActive(ProcessRun& run) override;
  void OnRunOver(ProcessRun& run) override;

  ProcessContext& context_;
  MakeProcessOutput make_output_;
  absl::flat_hash_map<std::string, std::unique_ptr<ProcessEntry>> entries_;
  // Starts that failed, until kinescope-exec has been reaped.
  std::vector<std::unique_ptr<ProcessEntry>> failed_;
  std::map<std::string, ProcessReceipt, std::less<>> receipts_;
  // The same, the oldest first: every start may drop one.
  std::set<std::pair<absl::Time, std::string>> receipts_by_age_;
  Totals totals_;
  uint64_t next_waiter_ = 1;
  bool shutting_down_ = false;
  absl::AnyInvocable<void()> shutdown_done_;
  UniqueFd children_;  // A signalfd of SIGCHLD.
  LoopHandle children_watch_;
  LoopHandle sweep_;
  LoopHandle shutdown_deadline_;
};

}  // namespace kine
