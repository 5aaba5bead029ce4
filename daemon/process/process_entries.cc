#include "daemon/process/process_entries.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/check.h"
#include "daemon/base/limits/process.h"
#include "daemon/base/log.h"
#include "daemon/base/record_text.h"
#include "daemon/base/status.h"
#include "ipc/problem.h"

namespace kine {

ProcessTable::Impl::Impl(ProcessContext& context, MakeProcessOutput make_output)
    : context_(context), make_output_(std::move(make_output)) {
  // What our commands leave behind comes to us, not to init: it stays known
  // and is reaped. It becomes a child of this thread; what the spawn thread
  // starts is that thread's and reaped by its owner through its pidfd.
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
    LogWarning("no subreaper: orphans of commands will not be known, ignoring");
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGCHLD);
  children_ = UniqueFd(::signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK));
  KINE_CHECK(children_.valid());
  children_watch_ = LoopHandle(
      context_.loop, context_.loop.Watch(children_.get(), EPOLLIN,
                                         [this](auto) { OnChildren(); }));
}

ProcessTable::Impl::~Impl() = default;

void ProcessTable::Impl::OnChildren() {
  signalfd_siginfo ignored[8];
  while (::read(children_.get(), ignored, sizeof ignored) > 0) {
  }
  siginfo_t info{};
  while (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | __WNOTHREAD) == 0 &&
         info.si_pid != 0) {
    ++totals_.orphans_reaped;
    info = {};
  }
}

void ProcessTable::Impl::Load() {
  std::vector<std::string> damaged;
  for (StoredProcess& stored : LoadProcesses(context_.state_fd, damaged))
    LoadOne(std::move(stored));
  for (const std::string& name : damaged)
    LogWarning(absl::StrCat("process state ", Quoted(name),
                            " is damaged, put aside as .damaged"));
  ArmSweep();
}

void ProcessTable::Impl::LoadOne(StoredProcess stored) {
  const std::string id = stored.record.id;
  if (stored.receipt) {
    KeepReceipt(id, {stored.record.owner, stored.record.digest,
                     stored.record.exit, stored.fence,
                     stored.record.exit ? stored.record.exit->at
                                        : stored.record.started_at});
    return;
  }
  auto entry = std::make_unique<ProcessEntry>();
  entry->record = stored.record;
  entry->ended = context_.loop.clock().Now();
  ProcessRecord& record = entry->record;
  ProcessEntry* const raw = entry.get();
  entries_[id] = std::move(entry);
  const bool other_boot = stored.boot_id != context_.boot_id;
  if (other_boot && !record.exit.has_value()) {
    ProcessExit& exit = record.exit.emplace();
    exit.reason = ExitReason::kLost;
    exit.message = "the machine was restarted";
    exit.at = context_.loop.clock().Wall();
  }
  if (record.exit.has_value() &&
      (other_boot ||
       record.request.on_exit == ProcessRequest::OnExit::kKillTree)) {
    record.state = ProcessState::kExited;
    return;
  }
  LogInfo(absl::StrCat("process ", Quoted(id),
                       ": left by an earlier daemon, looking for it"));
  raw->run =
      std::make_unique<ProcessRun>(context_, make_output_, record, *this);
  raw->run->Adopt(stored);
  if (context_.kill_orphans)
    raw->run->Stop(ExitReason::kCanceled,
                   absl::Milliseconds(record.request.stop.grace_ms));
}

absl::Status ProcessTable::Impl::CheckStart(const ProcessRequest& request,
                                            const std::string& owner) {
  if (shutting_down_) return absl::UnavailableError("the daemon is stopping");
  if (!request.expect_instance.empty() &&
      request.expect_instance != context_.instance)
    return WithProblem(
        FieldError("expect_instance",
                   "another run of the daemon: it was restarted, so that an "
                   "earlier try of this start may have run; look for its id"),
        409, "instance_changed");
  const auto receipt = receipts_.find(request.id);
  if (receipt != receipts_.end()) {
    const ProcessReceipt& known = receipt->second;
    if (known.owner != owner)
      return WithProblem(FieldError("id", "is taken; choose another"), 409,
                         "conflict");
    if (known.fence)
      return WithProblem(
          FieldError("id", "was cancelled before it came; nothing was run"),
          409, "fenced");
    if (known.digest != DigestOf(request))
      return WithProblem(FieldError("id",
                                    "belongs to another command that has been "
                                    "run; choose another id"),
                         409, "different_request");
    return WithProblem(
        absl::FailedPreconditionError(
            "this command has been run; only its receipt is left"),
        410, "expired");
  }
  if (!request.recording_id.empty())
    KINE_RETURN_IF_ERROR(
        context_.observer.CheckRecording(request.recording_id, owner));
  KINE_RETURN_IF_ERROR(context_.cgroups.Check(request.limits));
  if (running() >= limits::kProcessesRunningMax)
    return WithProblem(
        absl::ResourceExhaustedError(
            absl::StrCat(limits::kProcessesRunningMax,
                         " processes are running; wait for one or cancel one")),
        429, "processes_running");
  return MakeRoom();
}

absl::Status ProcessTable::Impl::MakeRoom() {
  if (known() < limits::kProcessesKnownMax) return absl::OkStatus();
  const ProcessEntry* oldest = nullptr;
  for (const auto& [id, entry] : entries_)
    if (!entry->live() && entry->record.ended() &&
        (oldest == nullptr || entry->ended < oldest->ended))
      oldest = entry.get();
  if (oldest == nullptr)
    return WithProblem(absl::ResourceExhaustedError(absl::StrCat(
                           limits::kProcessesKnownMax,
                           " processes are known and none of them has ended")),
                       429, "processes_known");
  Forget(std::string(oldest->record.id));
  return absl::OkStatus();
}

void ProcessTable::Impl::Start(ProcessRequest request, const std::string& owner,
                               StartAnswer answer) {
  if (request.id.empty()) request.id = MakeUuid();
  const auto found = entries_.find(request.id);
  if (found != entries_.end() &&
      (request.expect_instance.empty() ||
       request.expect_instance == context_.instance)) {
    ProcessEntry& entry = *found->second;
    if (entry.record.owner != owner)
      answer(WithProblem(FieldError("id", "is taken; choose another"), 409,
                         "conflict"),
             false);
    else if (entry.record.digest != DigestOf(request))
      answer(WithProblem(FieldError("id",
                                    "belongs to another command; give each "
                                    "command an id of its own"),
                         409, "different_request"),
             false);
    else if (entry.record.state == ProcessState::kStarting)
      entry.starts.push_back(std::move(answer));  // Single flight.
    else
      answer(&entry.record, true);
    return;
  }
  if (absl::Status status = CheckStart(request, owner); !status.ok()) {
    answer(status, false);
    return;
  }
  auto entry = std::make_unique<ProcessEntry>();
  entry->record.id = request.id;
  entry->record.owner = owner;
  entry->record.digest = DigestOf(request);
  entry->record.request = std::move(request);
  entry->record.started_at = context_.loop.clock().Wall();
  entry->starts.push_back(std::move(answer));
  entry->run = std::make_unique<ProcessRun>(context_, make_output_,
                                            entry->record, *this);
  ProcessRun& run = *entry->run;
  const std::string id = entry->record.id;
  entries_[id] = std::move(entry);
  run.Start();
}

absl::StatusOr<ProcessEntry*> ProcessTable::Impl::Find(
    absl::string_view id, const ProcessViewer& viewer) const {
  const auto sees = [&viewer](const std::string& owner) {
    return viewer.all || owner == viewer.owner;
  };
  const auto entry = entries_.find(id);
  if (entry != entries_.end() && sees(entry->second->record.owner))
    return entry->second.get();
  const auto receipt = receipts_.find(id);
  if (receipt == receipts_.end() || !sees(receipt->second.owner))
    return absl::NotFoundError(
        absl::StrCat("there is no process ", Quoted(id)));
  const ProcessReceipt& known = receipt->second;
  std::string text = "its output and its record have expired";
  if (known.fence) text = "it was cancelled before it came";
  if (known.exit.has_value()) {
    absl::StrAppend(&text, "; it ended: ", ExitReasonName(known.exit->reason));
    if (known.exit->code)
      absl::StrAppend(&text, ", exit code ", *known.exit->code);
    if (known.exit->signal)
      absl::StrAppend(&text, ", ", SignalName(*known.exit->signal));
  }
  return WithProblem(
      absl::NotFoundError(absl::StrCat("process ", Quoted(id), ": ", text)),
      410, "expired");
}

bool ProcessTable::Impl::Known(absl::string_view id) const {
  return entries_.contains(id) || receipts_.contains(id);
}

std::vector<const ProcessRecord*> ProcessTable::Impl::List(
    const ProcessViewer& viewer) const {
  std::vector<const ProcessRecord*> list;
  for (const auto& [id, entry] : entries_)
    if (viewer.all || entry->record.owner == viewer.owner)
      list.push_back(&entry->record);
  std::sort(list.begin(), list.end(),
            [](const ProcessRecord* a, const ProcessRecord* b) {
              const bool a_ended = a->state == ProcessState::kExited;
              const bool b_ended = b->state == ProcessState::kExited;
              if (a_ended != b_ended) return b_ended;
              if (a->started_at != b->started_at)
                return a->started_at > b->started_at;
              return a->id < b->id;
            });
  return list;
}

ProcessOutput* ProcessTable::Impl::OutputOf(const ProcessRecord& record) const {
  const auto found = entries_.find(record.id);
  if (found == entries_.end() || found->second->run == nullptr) return nullptr;
  return found->second->run->output();
}

int ProcessTable::Impl::running() const {
  int count = 0;
  for (const auto& [id, entry] : entries_) count += entry->live() ? 1 : 0;
  return count;
}

bool ProcessEntry::Happened(ProcessTable::WaitFor what) const {
  using WaitFor = ProcessTable::WaitFor;
  if (what == WaitFor::kOver) return record.ended() && !live();
  return record.ended() || (what == WaitFor::kReady && record.ready);
}

void ProcessTable::Impl::Wait(ProcessEntry& entry, WaitFor what,
                              absl::Duration timeout, Answer answer) {
  if (entry.Happened(what) || timeout <= absl::ZeroDuration()) {
    answer(&entry.record);
    return;
  }
  const uint64_t id = next_waiter_++;
  LoopHandle deadline(context_.loop,
                      context_.loop.PostAfter(timeout, [&entry, id] {
                        auto node = entry.waiters.extract(id);
                        node.mapped().answer(&entry.record);
                      }));
  entry.waiters.emplace(
      id, ProcessWaiter{what, std::move(answer), std::move(deadline)});
}

void ProcessTable::Impl::AnswerWaiters(ProcessEntry& entry) {
  std::vector<Answer> due;
  for (auto it = entry.waiters.begin(); it != entry.waiters.end();) {
    if (!entry.Happened(it->second.what)) {
      ++it;
      continue;
    }
    due.push_back(std::move(it->second.answer));
    it = entry.waiters.erase(it);
  }
  const std::string id = entry.record.id;
  for (Answer& answer : due) {
    // One that waited to delete it may have done so.
    const auto found = entries_.find(id);
    if (found == entries_.end())
      answer(absl::NotFoundError(absl::StrCat("process ", Quoted(id))));
    else
      answer(&found->second->record);
  }
}

ProcessEntry& ProcessTable::Impl::EntryOf(ProcessRun& run) {
  return *entries_.at(run.record().id);
}

void ProcessTable::Impl::OnRunStarted(ProcessRun& run, absl::Status status) {
  ProcessEntry& entry = EntryOf(run);
  std::vector<StartAnswer> starts = std::exchange(entry.starts, {});
  if (status.ok()) {
    ++totals_.started;
    entry.record.recordings = context_.observer.OnProcessChapter(entry.record);
    context_.observer.OnProcessState(entry.record);
    context_.observer.OnProcessActivity(entry.record);
    bool attached = false;
    for (StartAnswer& answer : starts)
      answer(&entry.record, std::exchange(attached, true));
    return;
  }
  ++totals_.start_failed;
  context_.observer.OnProcessState(entry.record);
  const auto found = entries_.find(entry.record.id);
  failed_.push_back(std::move(found->second));
  entries_.erase(found);
  for (auto& [id, waiter] : std::exchange(failed_.back()->waiters, {}))
    waiter.answer(status);
  for (StartAnswer& answer : starts) answer(status, false);
}

void ProcessTable::Impl::OnRunExited(ProcessRun& run) {
  ProcessEntry& entry = EntryOf(run);
  ++totals_.ended;
  entry.ended = context_.loop.clock().Now();
  if (!entry.record.adopted)
    (void)context_.observer.OnProcessChapter(entry.record);
  context_.observer.OnProcessState(entry.record);
  context_.observer.OnProcessActivity(entry.record);
  AnswerWaiters(entry);
  ArmSweep();
}

void ProcessTable::Impl::OnRunChanged(ProcessRun& run) {
  ProcessEntry& entry = EntryOf(run);
  context_.observer.OnProcessState(entry.record);
  AnswerWaiters(entry);
}

void ProcessTable::Impl::OnRunActive(ProcessRun& run) {
  context_.observer.OnProcessActivity(run.record());
}

void ProcessTable::Impl::OnRunOver(ProcessRun& run) {
  const auto found = entries_.find(run.record().id);
  if (found != entries_.end() && found->second->run.get() == &run) {
    if (run.was_orphan()) context_.observer.OnProcessState(run.record());
    AnswerWaiters(*found->second);
  }
  std::erase_if(failed_,
                [&run](const auto& entry) { return entry->run.get() == &run; });
  MaybeShutDown();
}

}  // namespace kine
