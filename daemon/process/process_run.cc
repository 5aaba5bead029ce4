#include "daemon/process/process_run.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits/process.h"
#include "daemon/base/log.h"
#include "daemon/base/status.h"
#include "daemon/exec/exec_plan.h"
#include "daemon/process/exec_plan.h"
#include "daemon/process/process_streams.h"

namespace kine {
namespace {

ProcessUsage UsageOf(const rusage& usage) {
  const auto micros = [](const timeval& t) {
    return t.tv_sec * int64_t{1'000'000} + t.tv_usec;
  };
  return ProcessUsage{micros(usage.ru_utime),
                      micros(usage.ru_stime),
                      usage.ru_maxrss * int64_t{1'024},
                      usage.ru_majflt,
                      usage.ru_inblock,
                      usage.ru_oublock};
}

}  // namespace

ProcessRun::ProcessRun(ProcessContext& context, MakeProcessOutput& make_output,
                       ProcessRecord& record, Client& client)
    : context_(context),
      make_output_(make_output),
      record_(record),
      client_(client),
      self_(std::make_shared<ProcessRun*>(this)),
      prepared_(std::make_shared<Prepared>()),
      instance_(context.instance) {}

ProcessRun::~ProcessRun() { *self_ = nullptr; }

StoredProcess ProcessRun::Stored() const {
  return StoredProcess{
      record_, instance_, context_.boot_id, prepared_->start_ticks,
      false,   false};
}

void ProcessRun::Start() {
  Spawner::Command command;
  command.path = context_.exec_path;
  command.argv = {"kinescope-exec"};
  command.own_session = true;
  command.empty_environment = true;
  ProcessFds fds;
  absl::Status made = MakeStreams(command, fds);
  absl::StatusOr<PipeEnds> error_pipe = MakePipe(/*ours_reads=*/true);
  made.Update(error_pipe.status());
  if (!made.ok()) {
    FailStart(made);
    return;
  }
  exec_error_ = std::move(error_pipe->ours);
  output_ = make_output_(record_.request, std::move(fds), *this);
  command.prepare = [&context = context_, prepared = prepared_,
                     stored = Stored(), error = std::move(error_pipe->theirs)](
                        Spawner::Command& c) mutable -> absl::Status {
    // Before the command: a daemon that dies now knows that it may have run.
    KINE_RETURN_IF_ERROR(WithContext("cannot keep its state",
                                     SaveProcess(context.state_fd, stored)));
    const ProcessRecord& record = stored.record;
    const bool limited = record.request.limits.any();
    absl::StatusOr<std::unique_ptr<CgroupLeaf>> leaf =
        context.cgroups.usable() || limited
            ? context.cgroups.Make(record.id, record.request.limits)
            : absl::UnimplementedError(context.cgroups.reason());
    const bool begins_there = context.begins_in_cgroup;
    absl::StatusOr<UniqueFd> entry = !leaf.ok()     ? leaf.status()
                                     : begins_there ? (*leaf)->OpenDirectory()
                                                    : (*leaf)->OpenProcs();
    if (leaf.ok()) prepared->leaf = *std::move(leaf);
    if (!entry.ok() && (prepared->leaf != nullptr || limited))
      return entry.status();
    KINE_ASSIGN_OR_RETURN(
        UniqueFd plan,
        MakeExecPlan({record.request, record.owner, record.id, context.instance,
                      context.socket_path, context.original_nofile,
                      entry.ok() && !begins_there}));
    c.fds.push_back(std::move(plan));
    c.fds.push_back(std::move(error));
    if (entry.ok()) {
      if (begins_there)
        c.cgroup = *std::move(entry);
      else
        c.fds.push_back(*std::move(entry));
    }
    return absl::OkStatus();
  };
  command.started = [&context = context_, prepared = prepared_,
                     stored = Stored()](pid_t pid) mutable {
    ProcEntry entry;
    if (ReadProcEntry(pid, entry)) prepared->start_ticks = entry.start_ticks;
    stored.record.pid = pid;
    stored.start_ticks = prepared->start_ticks;
    // Only a daemon's crash needs it, and then the mark still tells.
    (void)UpdateProcess(context.state_fd, stored);
  };
  context_.spawner.Spawn(std::move(command), [self = self_](auto child) {
    if (*self != nullptr) (*self)->OnSpawned(std::move(child));
  });
}

absl::Status ProcessRun::MakeStreams(Spawner::Command& command,
                                     ProcessFds& fds) {
  const ProcessRequest& request = record_.request;
  if (request.pty.has_value())
    return MakeTerminal(*request.pty, command, fds.terminal);
  KINE_ASSIGN_OR_RETURN(PipeEnds out, MakePipe(/*ours_reads=*/true));
  fds.out = std::move(out.ours);
  if (request.merged()) {
    command.standard_error =
        UniqueFd(::fcntl(out.theirs.get(), F_DUPFD_CLOEXEC, 3));
    if (!command.standard_error.valid()) return ErrnoStatus(errno, "dup");
  } else {
    KINE_ASSIGN_OR_RETURN(PipeEnds err, MakePipe(/*ours_reads=*/true));
    fds.err = std::move(err.ours);
    command.standard_error = std::move(err.theirs);
  }
  command.standard_output = std::move(out.theirs);
  if (request.standard_input == ProcessRequest::Stdin::kPipe) {
    KINE_ASSIGN_OR_RETURN(PipeEnds in, MakePipe(/*ours_reads=*/false));
    fds.in = std::move(in.ours);
    command.standard_input = std::move(in.theirs);
  }
  return absl::OkStatus();
}

void ProcessRun::OnSpawned(
    absl::StatusOr<std::unique_ptr<ChildProcess>> child) {
  if (!child.ok()) {
    FailStart(child.status());
    return;
  }
  child_ = *std::move(child);
  record_.pid = child_->pid();
  MakeTree();
  exec_watch_ =
      LoopHandle(context_.loop,
                 context_.loop.Watch(exec_error_.get(), EPOLLIN,
                                     [this](auto) { ReadExecError(false); }));
  exec_deadline_ = LoopHandle(
      context_.loop,
      context_.loop.PostAfter(absl::Milliseconds(limits::kExecMs), [this] {
        LogWarning(absl::StrCat("process ", Quoted(record_.id),
                                ": kinescope-exec hangs, killing it"));
        child_->Kill(SIGKILL);
      }));
  child_->set_on_exit([this](const ExitStatus& exit) { OnChildExit(exit); });
}

void ProcessRun::MakeTree() {
  tree_ = std::make_unique<ProcessTree>(
      context_.loop, context_.spawner,
      TreeMark{record_.pid, prepared_->start_ticks, record_.id, instance_,
               record_.adopted},
      prepared_->leaf);
  record_.tree_by = tree_->by();
}

void ProcessRun::ReadExecError(bool exited) {
  if (!exec_error_.valid()) return;
  kine_exec_failure failure{};
  const ssize_t count = ::read(exec_error_.get(), &failure, sizeof failure);
  if (count < 0 && !exited) return;  // Not yet.
  exec_watch_.Cancel();
  exec_deadline_.Cancel();
  exec_error_.Reset();
  if (count == static_cast<ssize_t>(sizeof failure)) {
    FailStart(ExecError(failure.stage, failure.error, record_.request));
    return;
  }
  running_ = true;
  record_.state = ProcessState::kRunning;
  record_.started_at = context_.loop.clock().Wall();
  record_.started_mono_us = context_.loop.clock().Now().micros();
  if (record_.request.deadline_ms.has_value())
    deadline_ = LoopHandle(
        context_.loop,
        context_.loop.PostAfter(
            absl::Milliseconds(*record_.request.deadline_ms), [this] {
              Stop(ExitReason::kDeadline,
                   absl::Milliseconds(record_.request.stop.grace_ms));
            }));
  if (record_.request.ready.port.has_value()) ProbePort();
  client_.OnRunStarted(*this, absl::OkStatus());
  // Asked for before it was there.
  if (stop_reason_.has_value() && !exited)
    Stop(*std::exchange(stop_reason_, std::nullopt), *stop_grace_);
}

void ProcessRun::FailStart(absl::Status status) {
  ProcessExit exit;
  exit.reason = ExitReason::kStartFailed;
  exit.message = std::string(status.message());
  exit.at = context_.loop.clock().Wall();
  record_.state = ProcessState::kExited;
  record_.exit = std::move(exit);
  exec_watch_.Cancel();
  exec_deadline_.Cancel();
  // Nothing ran: the id is free again. Its cgroup goes with kinescope-exec.
  context_.spawner.Run(
      [&context = context_, id = record_.id] {
        RemoveProcess(context.state_fd, id);
      },
      [] {});
  output_.reset();
  client_.OnRunStarted(*this, std::move(status));
  if (child_ == nullptr) Over();
}

void ProcessRun::OnChildExit(const ExitStatus& status) {
  ReadExecError(/*exited=*/true);
  if (!running_) {
    Over();  // kinescope-exec itself.
    return;
  }
  output_->DrainAfterExit();
  ProcessExit exit;
  (status.signaled ? exit.signal : exit.code) = status.code;
  exit.core_dumped = status.core_dumped;
  exit.usage = UsageOf(status.usage);
  exit.reason = status.signaled ? ExitReason::kSignaled : ExitReason::kExited;
  if (stop_reason_.has_value()) exit.reason = *stop_reason_;
  if (const CgroupLeaf* leaf = tree_->leaf()) {
    exit.memory_peak_bytes = leaf->MemoryPeak();
    if (status.signaled && status.code == SIGKILL && !stop_reason_ &&
        leaf->OomKills().value_or(0) > 0)
      exit.reason = ExitReason::kOomKilled;
  }
  SetExit(std::move(exit));
}

void ProcessRun::SetExit(ProcessExit exit) {
  exit.at = context_.loop.clock().Wall();
  exit.mono_us = context_.loop.clock().Now().micros();
  deadline_.Cancel();
  port_.Cancel();
  StoredProcess stored = Stored();
  stored.record.exit = exit;
  context_.spawner.Run(
      [&context = context_, stored = std::move(stored)] {
        const absl::Status saved = UpdateProcess(context.state_fd, stored);
        if (!saved.ok())
          LogWarning(absl::StrCat(
              "process ", Quoted(stored.record.id),
              ": cannot keep its end, ignoring: ", saved.message()));
      },
      // Told once it is kept: what a client has seen outlives this daemon.
      [self = self_, exit = std::move(exit)]() mutable {
        if (*self != nullptr) (*self)->TellExit(std::move(exit));
      });
}

void ProcessRun::TellExit(ProcessExit exit) {
  record_.exit = std::move(exit);
  record_.leftovers.clear();
  const CgroupLeaf* leaf = tree_->leaf();
  // Whatever it left behind is our child now: without any, nothing is left.
  const bool maybe_left =
      record_.adopted || (leaf != nullptr ? leaf->Populated().value_or(false)
                                          : HasAdoptedChildren());
  record_.state = leaf != nullptr && maybe_left ? ProcessState::kOrphan
                                                : ProcessState::kExited;
  client_.OnRunExited(*this);
  if (!maybe_left) {
    Over();
    return;
  }
  FollowTree();
}

void ProcessRun::FollowTree() {
  tree_->Watch([this](std::vector<pid_t> left) { OnLeft(std::move(left)); });
}

void ProcessRun::OnLeft(std::vector<pid_t> left) {
  if (left.empty()) {
    Over();
    return;
  }
  record_.leftovers = std::move(left);
  record_.state = ProcessState::kOrphan;
  if (record_.request.on_exit == ProcessRequest::OnExit::kKillTree &&
      !stop_reason_.has_value() && !record_.adopted)
    Stop(record_.exit->reason,
         absl::Milliseconds(record_.request.stop.grace_ms));
  client_.OnRunChanged(*this);
}

void ProcessRun::Over() {
  if (over_) return;
  over_ = true;
  kill_.Cancel();
  record_.leftovers.clear();
  was_orphan_ = record_.state == ProcessState::kOrphan;
  record_.state = ProcessState::kExited;
  if (prepared_->leaf != nullptr)
    context_.spawner.Run(
        [&context = context_, leaf = prepared_->leaf] {
          // A zombie may hold it a little longer; the next start of the daemon
          // or of the id finds it empty.
          (void)context.cgroups.Remove(*leaf);
        },
        [] {});
  over_task_ = LoopHandle(context_.loop,
                          context_.loop.PostAfter(absl::ZeroDuration(), [this] {
                            // A thousand ended ones may be known: none keeps a
                            // descriptor of its cgroup.
                            tree_.reset();
                            prepared_->leaf.reset();
                            client_.OnRunOver(*this);
                          }));
}

void ProcessRun::Stop(ExitReason reason, absl::Duration grace) {
  if (over_ || stop_reason_.has_value()) {
    // Being stopped already: only sooner than it would be.
    if (!over_ && tree_ != nullptr && grace < *stop_grace_) {
      stop_grace_ = grace;
      kill_ = LoopHandle(context_.loop, context_.loop.PostAfter(grace, [this] {
        tree_->KillAll();
      }));
    }
    return;
  }
  stop_reason_ = reason;
  stop_grace_ = grace;
  if (tree_ == nullptr || (!running_ && !record_.adopted)) return;
  tree_->Signal(record_.request.stop.signal);
  // Stopped processes would only take it when continued.
  tree_->Signal(SIGCONT);
  kill_ = LoopHandle(context_.loop, context_.loop.PostAfter(
                                        grace, [this] { tree_->KillAll(); }));
}

void ProcessRun::SignalProcess(int signal, bool group) {
  if (child_ == nullptr || child_->pidfd() < 0) {
    if (orphan_.valid())
      (void)::syscall(SYS_pidfd_send_signal, orphan_.get(), signal, nullptr, 0);
    return;
  }
  // Not reaped, so that the number is still its own.
  if (group)
    (void)::kill(-child_->pid(), signal);
  else
    child_->Kill(signal);
}

void ProcessRun::SignalTree(int signal) {
  if (tree_ == nullptr) return;
  if (signal == SIGKILL)
    tree_->KillAll();
  else
    tree_->Signal(signal);
}

void ProcessRun::Adopt(const StoredProcess& stored) {
  record_.adopted = true;
  record_.state = ProcessState::kOrphan;
  instance_ = stored.instance;
  prepared_->start_ticks = stored.start_ticks;
  prepared_->leaf = context_.cgroups.Open(record_.id);
  output_ = make_output_(record_.request, ProcessFds{}, *this);
  MakeTree();
  ProcEntry entry;
  orphan_ =
      UniqueFd(record_.pid > 0
                   ? static_cast<int>(::syscall(SYS_pidfd_open, record_.pid, 0))
                   : -1);
  // The descriptor first, then whether it is the one that was started.
  const bool alive = orphan_.valid() && ReadProcEntry(record_.pid, entry) &&
                     entry.start_ticks == stored.start_ticks && !entry.zombie;
  const auto lost = [this] {
    orphan_watch_.Cancel();
    orphan_.Reset();
    ProcessExit exit;
    exit.reason = ExitReason::kLost;
    exit.message =
        "it ended while no daemon was its parent: nobody can know how";
    SetExit(std::move(exit));
  };
  if (alive && !record_.exit.has_value()) {
    orphan_watch_ = LoopHandle(
        context_.loop,
        context_.loop.Watch(orphan_.get(), EPOLLIN, [lost](auto) { lost(); }));
    record_.leftovers = {record_.pid};
    return;
  }
  orphan_.Reset();
  if (record_.exit.has_value())
    FollowTree();
  else
    lost();
}

void ProcessRun::ProbePort() {
  if (PortIsOpen(*record_.request.ready.port)) {
    SetReady();
    return;
  }
  // No event tells that somebody listens.
  port_ = LoopHandle(
      context_.loop,
      context_.loop.PostAfter(absl::Milliseconds(limits::kPortProbeMs),
                              [this] { ProbePort(); }));
}

void ProcessRun::SetReady() {
  if (record_.ready || record_.ended()) return;
  record_.ready = true;
  client_.OnRunChanged(*this);
}

void ProcessRun::OnOutputLimit() {
  Stop(ExitReason::kOutputLimit,
       absl::Milliseconds(record_.request.stop.grace_ms));
}

void ProcessRun::OnPatternFound() { SetReady(); }

void ProcessRun::OnOutputRead() { client_.OnRunActive(*this); }

}  // namespace kine
