// ProcessOutput: the daemon's ends of one command's streams. This header is the
// seam between the supervisor, which makes the descriptors and says when the
// command has ended, and what is kept and served of the bytes.
//
// Control loop only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/functional/any_invocable.h"
#include "daemon/base/fd.h"
#include "daemon/base/limits/output.h"
#include "daemon/process/process_request.h"

namespace kine {

// All are non-blocking and close-on-exec.
struct ProcessFds {
  UniqueFd out;  // Read: standard output; both streams when merged.
  UniqueFd err;  // Read; invalid when merged or with a terminal.
  UniqueFd in;   // Write; invalid unless stdin is a pipe.
  // Read and write, instead of the three above.
  UniqueFd terminal;
};

class ProcessOutput {
 public:
  // Called on the loop, never inside a call into the object. All may be
  // missing from a call's point of view: the supervisor ignores what is late.
  class Client {
   public:
    virtual ~Client() = default;
    // on_full=kill and it is full.
    virtual void OnOutputLimit() = 0;
    // ready{regex} matched.
    virtual void OnPatternFound() = 0;
    // Something was read: activity for the idle stop. At most once a turn.
    virtual void OnOutputRead() = 0;
  };
  struct Totals {
    uint64_t bytes = 0;    // Read in all.
    uint64_t dropped = 0;  // Of these, no longer to be had.
    bool open = false;     // Somebody still holds a write end.
  };

  virtual ~ProcessOutput() = default;

  // The pidfd has fired: reads what is in the pipes (to EAGAIN, at most
  // limits::kOutputDrainBytes a stream) before the exit is told to anybody. It
  // goes on reading from the loop while the streams are open.
  virtual void DrainAfterExit() = 0;
  // The tree is gone, or the record is about to be forgotten: no more readers
  // will come for bytes that are not there yet.
  virtual void Close() = 0;
  virtual Totals totals() const = 0;
  // Of a pty, for resizing; -1 without one or once closed.
  virtual int terminal() const = 0;
};

// Made when the command starts, before it has written a byte. `fds` may hold
// nothing (an orphan of an earlier daemon). The request outlives the object.
using MakeProcessOutput = absl::AnyInvocable<std::unique_ptr<ProcessOutput>(
    const ProcessRequest& request, ProcessFds fds,
    ProcessOutput::Client& client)>;

}  // namespace kine
