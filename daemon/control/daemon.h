// Daemon: builds the parts of kinescoped from its options, runs the control
// loop, and shuts down in order.
//
// Threads: the loop given to Create() is the control loop, run by the caller;
// the daemon owns a file thread (sendfile), a spawn thread and the worker of
// its FileIo.
#pragma once

#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "daemon/base/epoll_loop.h"
#include "daemon/control/options.h"

namespace kine {

class Daemon {
 public:
  // Opens and locks the state directory, reads what is there, takes the socket
  // and serves from then on (as soon as the loop runs). Blocks for the start.
  static absl::StatusOr<std::unique_ptr<Daemon>> Create(const Options& options,
                                                        EpollLoop& loop);
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  // Ends every recording with a valid file, answers what is in hand, then calls
  // `done`: at most limits::kShutdownMs later. Once.
  void Shutdown(absl::AnyInvocable<void()> done);

  // Where it serves, for the log.
  const std::string& socket_name() const;

 private:
  struct Parts;
  explicit Daemon(std::unique_ptr<Parts> parts);

  std::unique_ptr<Parts> parts_;
};

}  // namespace kine
