// Unix stream sockets: making the daemon's, connecting to it, and who is there.
//
// Any thread. ConnectUnix() blocks up to its deadline; the others do not wait.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "daemon/base/fd.h"
#include "ipc/routes.h"

namespace kine {

// Where daemon and clients meet unless they are told otherwise:
// $XDG_RUNTIME_DIR/kinescope/kinescope.sock, or /run/kinescope/kinescope.sock
// without an absolute path in that variable.
std::string DefaultSocketPath();

// A socket file of ours, with the lock that keeps a second daemon from taking
// it. Destroying it removes the socket file, then gives the lock back (the lock
// file stays: removing it would race with the next owner).
class UnixListener {
 public:
  // Makes the parent directory (0700) when missing, takes `path`.lock, removes
  // a stale socket (one that refuses connections), binds with `mode` and, if
  // given, `group`. ALREADY_EXISTS when another process serves the path.
  static absl::StatusOr<UnixListener> Listen(const std::string& path,
                                             mode_t mode,
                                             std::optional<gid_t> group);
  ~UnixListener();
  UnixListener(UnixListener&& other) noexcept = default;
  UnixListener& operator=(UnixListener&&) = delete;

  // The listening socket, non-blocking; once.
  UniqueFd TakeFd() { return std::move(fd_); }

 private:
  UnixListener(UniqueFd fd, UniqueFd lock, std::string path)
      : fd_(std::move(fd)), lock_(std::move(lock)), path_(std::move(path)) {}

  UniqueFd fd_;
  UniqueFd lock_;
  std::string path_;
};

// The socket that the service manager handed over (sd_listen_fds(3):
// LISTEN_PID, LISTEN_FDS, descriptor 3), made close-on-exec and non-blocking;
// nullopt when there is none. Takes the variables out of the environment: call
// once, before threads. INVALID_ARGUMENT when it is more than one or no
// listening Unix stream socket.
absl::StatusOr<std::optional<UniqueFd>> TakeActivatedSocket();

// The group that may write to the socket file of `listener`: its members may
// connect. nullopt when there is none.
std::optional<gid_t> GroupOfListener(int listener);

// Connects within `deadline`; blocking afterwards. NOT_FOUND: no such file.
// UNAVAILABLE: nobody listens. PERMISSION_DENIED. RESOURCE_EXHAUSTED: the
// backlog stayed full for the whole deadline.
absl::StatusOr<UniqueFd> ConnectUnix(const std::string& path,
                                     absl::Duration deadline);

// True while a daemon holds the lock beside the socket `path`. A client reads
// from it whether the service is gone or merely not answering.
absl::StatusOr<bool> IsServed(const std::string& path);

// SO_PEERCRED and SO_PEERGROUPS of a connected socket.
absl::StatusOr<Peer> PeerOf(int fd);

}  // namespace kine
