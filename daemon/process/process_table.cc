#include "daemon/process/process_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits/process.h"
#include "daemon/base/log.h"
#include "daemon/base/status.h"
#include "daemon/process/process_entries.h"
#include "daemon/process/process_streams.h"
#include "ipc/problem.h"

namespace kine {
namespace {

absl::Status NotRunning(const ProcessRecord& record) {
  return WithProblem(
      absl::FailedPreconditionError(absl::StrCat(
          "process ", Quoted(record.id), " is ",
          record.state == ProcessState::kStarting ? "only starting"
                                                  : "not running")),
      409, "not_running");
}

}  // namespace

// -- Receipts, retention, the end ---------------------------------------------

void ProcessTable::Impl::AddReceipt(const std::string& id,
                                    ProcessReceipt receipt) {
  if (receipts_.size() >= static_cast<size_t>(limits::kReceiptsMax))
    DropOldestReceipt();
  StoredProcess stored;
  stored.record.id = id;
  stored.record.owner = receipt.owner;
  stored.record.digest = receipt.digest;
  stored.record.exit = receipt.exit;
  stored.record.started_at = receipt.at;
  stored.instance = context_.instance;
  stored.boot_id = context_.boot_id;
  stored.receipt = true;
  stored.fence = receipt.fence;
  KeepReceipt(id, std::move(receipt));
  context_.spawner.Run(
      [&context = context_, stored = std::move(stored)] {
        const absl::Status saved = SaveProcess(context.state_fd, stored);
        if (!saved.ok())
          LogWarning(absl::StrCat(
              "process ", Quoted(stored.record.id),
              ": cannot keep its receipt, ignoring: ", saved.message()));
      },
      [] {});
  ArmSweep();
}

void ProcessTable::Impl::KeepReceipt(const std::string& id,
                                     ProcessReceipt receipt) {
  receipts_by_age_.emplace(receipt.at, id);
  receipts_[id] = std::move(receipt);
}

void ProcessTable::Impl::DropOldestReceipt() {
  std::string id = receipts_by_age_.begin()->second;
  receipts_by_age_.erase(receipts_by_age_.begin());
  receipts_.erase(id);
  context_.spawner.Run(
      [&context = context_, id = std::move(id)] {
        RemoveProcess(context.state_fd, id);
      },
      [] {});
}

void ProcessTable::Impl::Fence(const std::string& id,
                               const std::string& owner) {
  AddReceipt(id, ProcessReceipt{owner, "", std::nullopt, true,
                                context_.loop.clock().Wall()});
}

absl::Status ProcessTable::Impl::Delete(const std::string& id,
                                        const ProcessViewer& viewer) {
  const absl::StatusOr<ProcessEntry*> found = Find(id, viewer);
  if (!found.ok()) return found.status();
  if ((*found)->live() || !(*found)->record.ended())
    return WithProblem(absl::FailedPreconditionError(absl::StrCat(
                           "process ", Quoted(id),
                           " or its tree is running; cancel it first")),
                       409, "running");
  Forget(id);
  return absl::OkStatus();
}

void ProcessTable::Impl::Forget(const std::string& id) {
  const auto found = entries_.find(id);
  const std::unique_ptr<ProcessEntry> entry = std::move(found->second);
  entries_.erase(found);
  ++totals_.forgotten;
  if (ProcessOutput* output =
          entry->run != nullptr ? entry->run->output() : nullptr)
    output->Close();
  AddReceipt(id, ProcessReceipt{entry->record.owner, entry->record.digest,
                                entry->record.exit, false,
                                context_.loop.clock().Wall()});
}

void ProcessTable::Impl::ArmSweep() {
  if (sweep_.active()) return;
  // A hundredth late is early enough.
  sweep_ = LoopHandle(
      context_.loop,
      context_.loop.PostAfter(absl::Milliseconds(limits::kProcessKeptMs / 100),
                              [this] { Sweep(); }));
}

void ProcessTable::Impl::Sweep() {
  sweep_.Cancel();
  const MonoTime now = context_.loop.clock().Now();
  std::vector<std::string> due;
  for (const auto& [id, entry] : entries_)
    if (!entry->live() && entry->record.ended() &&
        now - entry->ended >= absl::Milliseconds(limits::kProcessKeptMs))
      due.push_back(id);
  for (const std::string& id : due) Forget(id);
  const absl::Time wall = context_.loop.clock().Wall();
  while (!receipts_by_age_.empty() &&
         wall - receipts_by_age_.begin()->first >=
             absl::Milliseconds(limits::kReceiptKeptMs))
    DropOldestReceipt();
  if (!entries_.empty() || !receipts_.empty()) ArmSweep();
}

void ProcessTable::Impl::Shutdown(absl::AnyInvocable<void()> done) {
  shutting_down_ = true;
  shutdown_done_ = std::move(done);
  shutdown_deadline_ = LoopHandle(
      context_.loop,
      context_.loop.PostAfter(
          absl::Milliseconds(limits::kProcessesShutdownMs), [this] {
            LogWarning(absl::StrCat(
                running(), " processes did not end in time, leaving them"));
            if (shutdown_done_) std::exchange(shutdown_done_, nullptr)();
          }));
  for (const auto& [id, entry] : entries_)
    if (entry->live())
      entry->run->Stop(
          ExitReason::kCanceled,
          absl::Milliseconds(std::min(limits::kShutdownGraceMs,
                                      entry->record.request.stop.grace_ms)));
  MaybeShutDown();
}

void ProcessTable::Impl::MaybeShutDown() {
  if (!shutting_down_ || !shutdown_done_ || running() > 0 || !failed_.empty())
    return;
  shutdown_deadline_.Cancel();
  // Behind the last state file.
  context_.spawner.Run(
      [] {},
      [done = std::exchange(shutdown_done_, nullptr)]() mutable { done(); });
}

// -- What the HTTP layer asks
// --------------------------------------------------

ProcessTable::ProcessTable(ProcessContext& context,
                           MakeProcessOutput make_output)
    : impl_(std::make_unique<Impl>(context, std::move(make_output))) {}
ProcessTable::~ProcessTable() = default;

void ProcessTable::Load() { impl_->Load(); }

void ProcessTable::Start(ProcessRequest request, const std::string& owner,
                         StartAnswer answer) {
  impl_->Start(std::move(request), owner, std::move(answer));
}

absl::StatusOr<const ProcessRecord*> ProcessTable::Find(
    absl::string_view id, const ProcessViewer& viewer) const {
  const absl::StatusOr<ProcessEntry*> entry = impl_->Find(id, viewer);
  if (!entry.ok()) return entry.status();
  return &(*entry)->record;
}

ProcessOutput* ProcessTable::OutputOf(const ProcessRecord& record) const {
  return impl_->OutputOf(record);
}

std::vector<const ProcessRecord*> ProcessTable::List(
    const ProcessViewer& viewer) const {
  return impl_->List(viewer);
}

void ProcessTable::Wait(absl::string_view id, const ProcessViewer& viewer,
                        WaitFor what, absl::Duration timeout, Answer answer) {
  const absl::StatusOr<ProcessEntry*> entry = impl_->Find(id, viewer);
  if (entry.ok())
    impl_->Wait(**entry, what, timeout, std::move(answer));
  else
    answer(entry.status());
}

void ProcessTable::Signal(absl::string_view id, const ProcessViewer& viewer,
                          int signal, SignalScope scope, Answer answer) {
  const absl::StatusOr<ProcessEntry*> found = impl_->Find(id, viewer);
  if (!found.ok()) {
    answer(found.status());
    return;
  }
  ProcessEntry& entry = **found;
  const bool itself =
      entry.record.state != ProcessState::kStarting && !entry.record.ended();
  if (!(entry.live() &&
        (itself || (scope == SignalScope::kTree && entry.record.ended())))) {
    answer(NotRunning(entry.record));
    return;
  }
  if (scope == SignalScope::kTree)
    entry.run->SignalTree(signal);
  else
    entry.run->SignalProcess(signal, scope == SignalScope::kGroup);
  answer(&entry.record);
}

void ProcessTable::Cancel(absl::string_view id, const ProcessViewer& viewer,
                          Answer answer) {
  const absl::StatusOr<ProcessEntry*> found = impl_->Find(id, viewer);
  if (!found.ok()) {
    if (impl_->Known(id)) {  // Another's, or only its receipt.
      answer(found.status());
      return;
    }
    impl_->Fence(std::string(id), viewer.owner);
    answer(nullptr);
    return;
  }
  ProcessEntry& entry = **found;
  if (entry.live())
    entry.run->Stop(ExitReason::kCanceled,
                    absl::Milliseconds(entry.record.request.stop.grace_ms));
  answer(&entry.record);
}

absl::StatusOr<const ProcessRecord*> ProcessTable::Resize(
    absl::string_view id, const ProcessViewer& viewer, int cols, int rows) {
  const absl::StatusOr<ProcessEntry*> found = impl_->Find(id, viewer);
  if (!found.ok()) return found.status();
  ProcessEntry& entry = **found;
  if (!entry.record.request.pty.has_value())
    return WithProblem(
        absl::FailedPreconditionError("it has no terminal; start it with pty"),
        409, "no_terminal");
  ProcessOutput* output = impl_->OutputOf(entry.record);
  if (output == nullptr || output->terminal() < 0)
    return NotRunning(entry.record);
  KINE_RETURN_IF_ERROR(ResizeTerminal(output->terminal(), cols, rows));
  return &entry.record;
}

void ProcessTable::Delete(absl::string_view id, const ProcessViewer& viewer,
                          absl::AnyInvocable<void(absl::Status)> done) {
  const absl::StatusOr<ProcessEntry*> found = impl_->Find(id, viewer);
  if (!found.ok()) {
    done(found.status());
    return;
  }
  const bool ended = (*found)->record.ended();
  impl_->Wait(**found, WaitFor::kOver,
              absl::Milliseconds(ended ? limits::kTreeOverMs : 0),
              [impl = impl_.get(), id = std::string(id), viewer,
               done = std::move(done)](const auto&) mutable {
                done(impl->Delete(id, viewer));
              });
}

void ProcessTable::Shutdown(absl::AnyInvocable<void()> done) {
  impl_->Shutdown(std::move(done));
}

ProcessTable::Totals ProcessTable::totals() const { return impl_->totals(); }
int ProcessTable::running() const { return impl_->running(); }
int ProcessTable::known() const { return impl_->known(); }

}  // namespace kine
