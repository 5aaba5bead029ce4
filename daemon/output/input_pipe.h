// InputPipe: a command's standard input, written by offset, so that a client
// that lost a reply says the same again and nothing arrives twice.
//
// Control loop only. Holds at most limits::kStdinBytesMax that the command has
// not read yet.
#pragma once

#include <cstdint>
#include <list>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "daemon/base/fd.h"
#include "daemon/base/limits/output.h"
#include "daemon/base/loop.h"

namespace kine {

class InputPipe {
 public:
  struct State {
    uint64_t next = 0;     // Taken: go on from here.
    uint64_t written = 0;  // Handed to the command's pipe.
    bool closed = false;   // eof was said, or nobody reads any more.
  };
  using Done = absl::AnyInvocable<void(absl::StatusOr<State>)>;

  // `fd` is non-blocking. A terminal's end of input is a ^D.
  InputPipe(Loop& loop, UniqueFd fd, bool terminal);
  ~InputPipe();

  // Takes `bytes`, which begin at `offset`; what was taken before is skipped.
  // Answers when all of them are in the pipe, or with the state after
  // `timeout` or when the pipe is closed. 409 stdin_gap: bytes before `offset`
  // are missing. 409 stdin_closed. 429 stdin_full: there is room for none.
  void Write(uint64_t offset, absl::string_view bytes, bool eof,
             absl::Duration timeout, Done done);
  // The command has ended: who waits is answered.
  void Close();
  State state() const;

 private:
  struct Waiter {
    uint64_t end;
    Done done;
    LoopHandle timer;
  };

  void Flush();
  void Answer(std::list<Waiter>::iterator waiter);

  Loop& loop_;
  UniqueFd fd_;
  const bool terminal_;
  std::string queue_;  // Taken and not written.
  uint64_t next_ = 0;
  bool eof_ = false;
  std::list<Waiter> waiters_;
  LoopHandle watch_;
};

}  // namespace kine
