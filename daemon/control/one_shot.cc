#include "daemon/control/one_shot.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits.h"
#include "daemon/base/status.h"

namespace kine {

OneShot::OneShot(Loop& loop, Spawner& spawner, std::vector<std::string> argv,
                 std::vector<UniqueFd> fds, absl::Duration deadline, Done done)
    : loop_(loop),
      done_(std::move(done)),
      self_(std::make_shared<OneShot*>(this)) {
  int pipe[2];
  if (::pipe2(pipe, O_CLOEXEC) != 0) {
    status_ = ErrnoStatus(errno, "pipe2");
    exited_ = true;
    MaybeDone();
    return;
  }
  output_ = UniqueFd(pipe[0]);
  // Only our end: the child's must block like any standard output.
  ::fcntl(output_.get(), F_SETFL, O_NONBLOCK);
  Spawner::Command command;
  command.path = argv.at(0);
  command.argv = std::move(argv);
  command.fds = std::move(fds);
  command.standard_output = UniqueFd(pipe[1]);
  watch_ = LoopHandle(loop_, loop_.Watch(output_.get(), EPOLLIN,
                                         [this](uint32_t) { OnReadable(); }));
  deadline_ = LoopHandle(loop_, loop_.PostAfter(deadline, [this, deadline] {
    Fail(absl::DeadlineExceededError(
        absl::StrCat("gave no answer in ", absl::FormatDuration(deadline))));
  }));
  spawner.Spawn(std::move(command), [self = self_](auto child) mutable {
    if (*self != nullptr) (*self)->OnSpawned(std::move(child));
  });
}

OneShot::~OneShot() { *self_ = nullptr; }

void OneShot::OnSpawned(absl::StatusOr<std::unique_ptr<ChildProcess>> child) {
  if (!child.ok()) {
    exited_ = true;
    Fail(child.status());
    MaybeDone();
    return;
  }
  child_ = *std::move(child);
  child_->set_on_exit([this](ExitStatus exit) {
    exited_ = true;
    exit_ = exit;
    MaybeDone();
  });
  if (!status_.ok()) child_->Kill(SIGKILL);
}

void OneShot::OnReadable() {
  char buffer[4096];
  const ssize_t count = ::read(output_.get(), buffer, sizeof buffer);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count > 0) {
    text_.append(buffer, static_cast<size_t>(count));
    if (text_.size() > limits::kOneShotBytesMax)
      Fail(absl::ResourceExhaustedError(absl::StrCat(
          "answered with more than ", limits::kOneShotBytesMax, " bytes")));
    return;
  }
  watch_.Cancel();
  output_.Reset();
  MaybeDone();
}

void OneShot::Fail(absl::Status status) {
  if (status_.ok()) status_ = std::move(status);
  watch_.Cancel();
  output_.Reset();
  if (child_ != nullptr) child_->Kill(SIGKILL);
}

void OneShot::MaybeDone() {
  if (!exited_ || output_.valid() || finish_.active()) return;
  deadline_.Cancel();
  finish_ = LoopHandle(loop_, loop_.PostAfter(absl::ZeroDuration(), [this] {
    Done done = std::move(done_);
    done(TakeResult());
  }));
}

absl::StatusOr<std::string> OneShot::TakeResult() {
  if (!status_.ok()) return status_;
  const bool well = !exit_.signaled && exit_.code == 0;
  const bool says_why = !exit_.signaled && exit_.code == 1 && !text_.empty();
  if (!well && !says_why) return absl::UnavailableError(ExitText(exit_));
  return std::move(text_);
}

}  // namespace kine
