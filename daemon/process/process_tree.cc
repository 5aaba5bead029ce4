#include "daemon/process/process_tree.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits/process.h"
#include "daemon/base/log.h"

namespace kine {
namespace {

// Of one tree; when these have ended, the next ones are looked at.
constexpr size_t kWatchedMax = 64;
// Looks in one piece on the spawn thread.
constexpr int kRoundsAtOnce = 8;

}  // namespace

ProcessTree::ProcessTree(Loop& loop, Spawner& spawner, TreeMark mark,
                         std::shared_ptr<const CgroupLeaf> leaf)
    : loop_(loop),
      spawner_(spawner),
      mark_(std::move(mark)),
      leaf_(std::move(leaf)),
      self_(std::make_shared<ProcessTree*>(this)) {}

ProcessTree::~ProcessTree() { *self_ = nullptr; }

void ProcessTree::Signal(int signal) {
  spawner_.Run(
      [mark = mark_, leaf = leaf_, signal] {
        if (leaf == nullptr) {
          SignalTree(mark, signal);
          return;
        }
        for (const pid_t pid : leaf->Pids()) ::kill(pid, signal);
      },
      [] {});
}

void ProcessTree::KillAll() {
  if (killing_) return;
  killing_ = true;
  Round(0);
}

void ProcessTree::Round(int rounds) {
  const auto left = std::make_shared<size_t>(0);
  spawner_.Run(
      [mark = mark_, leaf = leaf_, left] {
        for (int i = 0; i < kRoundsAtOnce; ++i) {
          if (leaf != nullptr) {
            *left = leaf->Populated().value_or(false) ? 1 : 0;
            if (*left == 0) return;
            if (leaf->Kill().ok()) return;
            for (const pid_t pid : leaf->Pids()) ::kill(pid, SIGKILL);
          } else {
            *left = SignalTree(mark, SIGKILL).size();
            if (*left == 0) return;
          }
        }
      },
      [this, self = self_, left, rounds] {
        if (*self == nullptr) return;
        if (*left == 0 || rounds * kRoundsAtOnce >= limits::kTreeRoundsMax) {
          killing_ = false;
          if (*left != 0)
            LogWarning(absl::StrCat("process ", Quoted(mark_.id), ": ", *left,
                                    " of its tree do not die, giving up"));
          return;
        }
        round_ = LoopHandle(
            loop_, loop_.PostAfter(absl::Milliseconds(limits::kTreeRetryMs),
                                   [this, rounds] { Round(rounds + 1); }));
      });
}

void ProcessTree::Watch(OnLeft on_left) {
  on_left_ = std::move(on_left);
  if (leaf_ != nullptr && !events_.valid()) {
    events_ = leaf_->OpenEvents();
    if (events_.valid())
      events_watch_ =
          LoopHandle(loop_, loop_.Watch(events_.get(), EPOLLPRI, [this](auto) {
            // Reading it is what re-arms the event.
            char text[256];
            [[maybe_unused]] const ssize_t count =
                ::pread(events_.get(), text, sizeof text, 0);
            Look();
          }));
  }
  Look();
}

void ProcessTree::Look() {
  if (looking_) {
    again_ = LoopHandle(
        loop_, loop_.PostAfter(absl::Milliseconds(limits::kTreeRetryMs),
                               [this] { Look(); }));
    return;
  }
  looking_ = true;
  const auto left = std::make_shared<std::vector<pid_t>>();
  spawner_.Run(
      [mark = mark_, leaf = leaf_, left] {
        if (leaf != nullptr) {
          *left = leaf->Pids();
          // A zombie of it keeps the cgroup populated a moment longer.
          if (left->empty() && leaf->Populated().value_or(false)) *left = {0};
          return;
        }
        for (const ProcEntry& entry : FindTree(mark))
          left->push_back(entry.pid);
      },
      [this, self = self_, left] {
        if (*self == nullptr) return;
        looking_ = false;
        OnFound(std::move(*left));
      });
}

void ProcessTree::OnFound(std::vector<pid_t> left) {
  watched_.clear();
  if (left.empty()) {
    again_.Cancel();
    events_watch_.Cancel();
  }
  if (left.size() == 1 && left[0] == 0)
    left.clear();  // See Look().
  else if (left.empty()) {
    if (on_left_) std::exchange(on_left_, nullptr)({});
    return;
  }
  for (const pid_t pid : left) {
    if (leaf_ != nullptr || watched_.size() == kWatchedMax) break;
    Watched watched;
    watched.pidfd =
        UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!watched.pidfd.valid()) continue;
    watched.watch = LoopHandle(
        loop_, loop_.Watch(watched.pidfd.get(), EPOLLIN, [this](auto) {
          // All that ended together cost one look.
          watched_.clear();
          Look();
        }));
    watched_.push_back(std::move(watched));
  }
  // All of them have just ended: look again.
  if (watched_.empty() && leaf_ == nullptr)
    again_ = LoopHandle(
        loop_, loop_.PostAfter(absl::Milliseconds(limits::kTreeRetryMs),
                               [this] { Look(); }));
  if (on_left_ && !left.empty()) on_left_(std::move(left));
}

}  // namespace kine
