// Server: accepts on Unix sockets, checks who is there, keeps the limits and
// hands checked requests to the route table's handlers.
//
// Threads: everything on `loop`, but sendfile() on `file_loop` (the control
// loop never waits for a disk). The file loop must have stopped before `loop`
// is destroyed.
//
// Order: construct, Listen() (any number of times), [Drain()], destroy. After
// destruction answers to open Replies are dropped.
//
// Process-wide: SIGPIPE is ignored, because sendfile() has no MSG_NOSIGNAL.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "daemon/base/fd.h"
#include "daemon/base/loop.h"
#include "daemon/base/metrics.h"
#include "ipc/routes.h"

namespace kine {

struct ServerOptions {
  std::string instance;             // The UUID of this run.
  std::vector<uid_t> allowed_uids;  // Besides root and the daemon's own.
  // Not empty: listens on a loopback port, where nobody knows who a peer is.
  // Whoever connects is served if the request's Host is one of these (so no
  // foreign page whose name was made to lead here); the handlers must know
  // more.
  std::vector<std::string> hosts = {};
};

// Counted since construction; reading is safe from any thread.
struct ServerMetrics {
  Gauge connections;
  Gauge streams;
  Counter accepted;
  Counter refused_peers;        // Not allowed: 403 before a byte was read.
  Counter refused_connections;  // A limit or no descriptor: 503.
  Counter requests;             // Handed to a handler.
  Counter refused_requests;     // Malformed, unknown route, over a limit.
  Counter unanswered;           // Replies dropped by a handler: our bug.
  Counter timeouts;             // Slow heads, bodies and readers; idle.
  Counter bytes_in;
  Counter bytes_out;
  Histogram handling;  // Request complete until answered, waits included.
};

class Server {
 public:
  // `routes` must outlive the server.
  Server(Loop& loop, Loop& file_loop, const RouteTable& routes,
         ServerOptions options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Serves `listener`, a listening non-blocking socket. Who may connect: root,
  // the daemon's own uid, the listed ones, and the members of the group that
  // may write to the socket file (as it is now).
  void Listen(UniqueFd listener);

  // Takes no new connection, lets each request in hand be answered, ends every
  // stream; `done` is called when the last connection has gone. Call once. The
  // caller sets the deadline, and destroys the server when it passes.
  void Drain(absl::AnyInvocable<void()> done);

  const ServerMetrics& metrics() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace kine
