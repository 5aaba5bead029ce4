// ProcessTable: every command the daemon has started or found, by id: what the
// HTTP layer asks. Starts them once however often they are asked for, keeps
// their ends for a while and their receipts for longer, and brings all of them
// down at the end.
//
// Control loop only. Callbacks run on it, possibly inside the call; records are
// valid during the callback, those of Find() and List() until the next call.
//
// Owners: another's process is NOT_FOUND everywhere. A viewer with `all` sees
// every one; without an owner only what has none.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "daemon/base/limits/process.h"
#include "daemon/process/process_context.h"
#include "daemon/process/process_output.h"
#include "daemon/process/process_record.h"

namespace kine {

// Who asks.
struct ProcessViewer {
  std::string owner;
  bool all = false;
};

enum class SignalScope { kProcess, kGroup, kTree };

class ProcessTable {
 public:
  using Answer = absl::AnyInvocable<void(absl::StatusOr<const ProcessRecord*>)>;
  // `attached`: it had been started before.
  using StartAnswer = absl::AnyInvocable<void(
      absl::StatusOr<const ProcessRecord*>, bool attached)>;
  // kOver: it has ended, and nothing of its tree is left.
  enum class WaitFor { kExit, kReady, kOver };
  struct Totals {
    uint64_t started = 0;
    uint64_t start_failed = 0;
    uint64_t ended = 0;
    uint64_t orphans_reaped = 0;  // Adopted processes that ended.
    uint64_t forgotten = 0;
  };

  // The context outlives the table.
  ProcessTable(ProcessContext& context, MakeProcessOutput make_output);
  ~ProcessTable();
  ProcessTable(const ProcessTable&) = delete;
  ProcessTable& operator=(const ProcessTable&) = delete;

  // Once, first: what an earlier daemon knew and left. Blocks.
  void Load();

  // Answers when the command runs (its program has been executed) or has
  // failed to: an error of its own code, such as 422 workdir_not_found; then
  // nothing was run and the id is free again. The same id with the same request
  // attaches, in any state; with another it is 409 different_request. Also 409
  // instance_changed (expect_instance), 409 fenced (cancelled before it came),
  // 410 expired (only the receipt is left), 429 processes_running /
  // processes_known.
  void Start(ProcessRequest request, const std::string& owner,
             StartAnswer answer);
  // 410 expired with the exit told, for one that only has its receipt.
  absl::StatusOr<const ProcessRecord*> Find(absl::string_view id,
                                            const ProcessViewer& viewer) const;
  // Null when there is none (start failed, receipt). Find() it first.
  ProcessOutput* OutputOf(const ProcessRecord& record) const;
  // Running first, then the newest.
  std::vector<const ProcessRecord*> List(const ProcessViewer& viewer) const;
  // Answers when it has happened, or after `timeout` with the state then. An
  // exit ends a wait for `ready` too.
  void Wait(absl::string_view id, const ProcessViewer& viewer, WaitFor what,
            absl::Duration timeout, Answer answer);
  // FAILED_PRECONDITION 409 not_running when there is nothing to signal.
  void Signal(absl::string_view id, const ProcessViewer& viewer, int signal,
              SignalScope scope, Answer answer);
  // The stop signal, grace, KILL, on the whole tree; answers when that has
  // begun. An id never seen is fenced for `owner`: OK with a null record.
  void Cancel(absl::string_view id, const ProcessViewer& viewer, Answer answer);
  absl::StatusOr<const ProcessRecord*> Resize(absl::string_view id,
                                              const ProcessViewer& viewer,
                                              int cols, int rows);
  // FAILED_PRECONDITION while it or its tree runs. The receipt stays. What it
  // left may take a moment to end, or to be found not to be there: that is
  // waited for, limits::kTreeOverMs at most.
  void Delete(absl::string_view id, const ProcessViewer& viewer,
              absl::AnyInvocable<void(absl::Status)> done);

  // The stop signal to every tree, grace, KILL; refuses new starts. `done` is
  // called once nothing is left, or limits::kProcessesShutdownMs later.
  void Shutdown(absl::AnyInvocable<void()> done);

  Totals totals() const;
  int running() const;  // With a live process of their own.
  int known() const;

  class Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace kine
