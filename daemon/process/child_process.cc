#include "daemon/process/child_process.h"

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include <cerrno>
#include <utility>

#include "daemon/base/check.h"

namespace kine {

ChildProcess::ChildProcess(Loop& loop, Loop& reaper, pid_t pid, UniqueFd pidfd)
    : loop_(loop),
      reaper_(reaper),
      pid_(pid),
      pidfd_(std::move(pidfd)),
      watch_(loop, loop.Watch(pidfd_.get(), EPOLLIN,
                              [this](uint32_t) { OnPidfd(); })) {}

ChildProcess::~ChildProcess() {
  watch_.Cancel();
  if (!pidfd_.valid()) return;
  // Waiting is done elsewhere: even a killed process may take its time.
  reaper_.Post([pidfd = std::move(pidfd_), grace = grace_] {
    pollfd ended{pidfd.get(), POLLIN, 0};
    if (::poll(&ended, 1, static_cast<int>(absl::ToInt64Milliseconds(grace))) !=
        1)
      SignalProgram(pidfd, SIGKILL);
    siginfo_t info;
    while (::waitid(P_PIDFD, static_cast<id_t>(pidfd.get()), &info, WEXITED) !=
               0 &&
           errno == EINTR) {
    }
  });
}

void ChildProcess::Kill(int signal) {
  if (pidfd_.valid()) SignalProgram(pidfd_, signal);
}

void ChildProcess::OnPidfd() {
  exit_ = TakeExit(pidfd_);
  if (!exit_.has_value()) return;  // The watch is level-triggered.
  watch_.Cancel();
  pidfd_.Reset();
  TellExit();
}

void ChildProcess::set_on_exit(OnExit on_exit) {
  on_exit_ = std::move(on_exit);
  // It may have ended before anybody asked.
  if (exit_.has_value())
    tell_ = LoopHandle(
        loop_, loop_.PostAfter(absl::ZeroDuration(), [this] { TellExit(); }));
}

void ChildProcess::TellExit() {
  // The callback may destroy this.
  if (on_exit_) std::exchange(on_exit_, nullptr)(*exit_);
}

void Spawner::Spawn(Command command, Done done) {
  KINE_CHECK(loop_.IsCurrent());
  spawn_loop_.Post([this, command = std::move(command),
                    done = std::move(done)]() mutable {
    absl::StatusOr<StartedProgram> started = StartProgram(std::move(command));
    loop_.Post(
        [this, started = std::move(started), done = std::move(done)]() mutable {
          if (!started.ok()) {
            done(started.status());
            return;
          }
          done(std::unique_ptr<ChildProcess>(new ChildProcess(
              loop_, spawn_loop_, started->pid, std::move(started->pidfd))));
        });
  });
}

void Spawner::Run(absl::AnyInvocable<void()> work,
                  absl::AnyInvocable<void()> done) {
  spawn_loop_.Post(
      [this, work = std::move(work), done = std::move(done)]() mutable {
        work();
        work = nullptr;
        loop_.Post(std::move(done));
      });
}

}  // namespace kine
