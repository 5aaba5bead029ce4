#include "daemon/output/input_pipe.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits/output.h"
#include "ipc/problem.h"

namespace kine {

InputPipe::InputPipe(Loop& loop, UniqueFd fd, bool terminal)
    : loop_(loop), fd_(std::move(fd)), terminal_(terminal) {}

InputPipe::~InputPipe() { Close(); }

InputPipe::State InputPipe::state() const {
  return State{next_, next_ - queue_.size(), eof_ || !fd_.valid()};
}

void InputPipe::Write(uint64_t offset, absl::string_view bytes, bool eof,
                      absl::Duration timeout, Done done) {
  if (offset > next_) {
    done(WithProblem(
        FieldError("offset",
                   absl::StrCat("is ", offset, ", but only ", next_,
                                " bytes have come; go on at ", next_)),
        409, "stdin_gap"));
    return;
  }
  const uint64_t known = std::min<uint64_t>(next_ - offset, bytes.size());
  bytes.remove_prefix(known);
  const bool repeated = bytes.empty() && (!eof || eof_);
  if (!repeated && (eof_ || !fd_.valid())) {
    done(WithProblem(
        absl::FailedPreconditionError(absl::StrCat(
            "standard input is closed after ", next_, " bytes: ",
            eof_ ? "eof=1 was said before" : "the command reads no more")),
        409, "stdin_closed"));
    return;
  }
  const size_t room = limits::kStdinBytesMax - queue_.size();
  const size_t take = std::min(room, bytes.size());
  if (take == 0 && !bytes.empty()) {
    done(WithProblem(
        absl::ResourceExhaustedError(absl::StrCat(
            "the command has not read the ", queue_.size(),
            " bytes that wait for it; try again at offset ", next_, " later")),
        429, "stdin_full"));
    return;
  }
  queue_.append(bytes.data(), take);
  next_ += take;
  if (eof && take == bytes.size()) eof_ = true;
  waiters_.push_front(Waiter{next_, std::move(done), LoopHandle()});
  const auto waiter = waiters_.begin();
  waiter->timer = LoopHandle(
      loop_, loop_.PostAfter(timeout, [this, waiter] { Answer(waiter); }));
  Flush();
}

void InputPipe::Answer(std::list<Waiter>::iterator waiter) {
  Done done = std::move(waiter->done);
  waiters_.erase(waiter);
  done(state());
}

void InputPipe::Flush() {
  size_t at = 0;
  while (fd_.valid() && at < queue_.size()) {
    const ssize_t count =
        ::write(fd_.get(), queue_.data() + at, queue_.size() - at);
    if (count > 0) {
      at += static_cast<size_t>(count);
    } else if (count < 0 && errno == EINTR) {
      continue;
    } else {
      if (count < 0 && errno != EAGAIN) {  // EPIPE, EIO: nobody reads.
        watch_.Cancel();
        fd_.Reset();
      }
      break;
    }
  }
  queue_.erase(0, at);
  if (queue_.empty() && eof_ && fd_.valid()) {
    watch_.Cancel();
    constexpr char kEndOfInput = 0x04;
    // A terminal that takes no more has nobody that reads either.
    if (terminal_) (void)!::write(fd_.get(), &kEndOfInput, 1);
    fd_.Reset();
  }
  if (fd_.valid() && !queue_.empty()) {
    if (!watch_.active())
      watch_ = LoopHandle(loop_, loop_.Watch(fd_.get(), EPOLLOUT,
                                             [this](uint32_t) { Flush(); }));
  } else {
    watch_.Cancel();
  }
  const uint64_t written = next_ - queue_.size();
  const bool over = !fd_.valid();
  // An answer may start the next write: look from the start again.
  for (;;) {
    const auto waiter =
        std::find_if(waiters_.begin(), waiters_.end(),
                     [&](const Waiter& w) { return over || w.end <= written; });
    if (waiter == waiters_.end()) return;
    Answer(waiter);
  }
}

void InputPipe::Close() {
  watch_.Cancel();
  fd_.Reset();
  while (!waiters_.empty()) Answer(waiters_.begin());
}

}  // namespace kine
