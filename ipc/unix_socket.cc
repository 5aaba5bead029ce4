#include "ipc/unix_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/status.h"

namespace kine {
namespace {

// Connections that wait while the loop is busy; the kernel cuts it to
// net.core.somaxconn.
constexpr int kBacklog = 256;
constexpr int kListenFdsStart = 3;  // SD_LISTEN_FDS_START

struct Address {
  sockaddr_un un{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&un); }
};

absl::StatusOr<Address> AddressOf(const std::string& path) {
  Address address;
  if (path.empty() || path.size() >= sizeof address.un.sun_path)
    return absl::InvalidArgumentError(
        absl::StrCat("the socket path must have 1 to ",
                     sizeof address.un.sun_path - 1, " bytes: ", path));
  address.un.sun_family = AF_UNIX;
  std::memcpy(address.un.sun_path, path.data(), path.size());
  address.size =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return address;
}

absl::StatusOr<UniqueFd> StreamSocket() {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "socket");
  return fd;
}

absl::Status MakeParent(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos || slash == 0) return absl::OkStatus();
  const std::string parent = path.substr(0, slash);
  if (::mkdir(parent.c_str(), 0700) == 0 || errno == EEXIST)
    return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat("cannot create ", parent));
}

// Open-file-description locks rather than flock(): a client can ask whether one
// is held without taking it, and so never makes a daemon's start fail.
struct flock WholeFile(short type) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;  // From 0 to the end, wherever that will be.
  return lock;
}

absl::StatusOr<UniqueFd> TakeLock(const std::string& path) {
  const std::string name = path + ".lock";
  UniqueFd lock(
      ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock.valid()) return ErrnoStatus(errno, absl::StrCat("open ", name));
  struct flock whole = WholeFile(F_WRLCK);
  if (::fcntl(lock.get(), F_OFD_SETLK, &whole) == 0) return lock;
  if (errno == EAGAIN || errno == EACCES)
    return absl::AlreadyExistsError(
        absl::StrCat("another daemon serves ", path, ": it holds ", name));
  return ErrnoStatus(errno, absl::StrCat("lock ", name));
}

// With the lock held. A socket file is stale when nobody accepts behind it.
absl::Status RemoveStale(const std::string& path, const Address& address) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0)
    return errno == ENOENT ? absl::OkStatus()
                           : ErrnoStatus(errno, absl::StrCat("stat ", path));
  if (!S_ISSOCK(info.st_mode))
    return absl::FailedPreconditionError(
        absl::StrCat(path,
                     " exists and is no socket; remove it or choose "
                     "another with --socket"));
  KINE_ASSIGN_OR_RETURN(const UniqueFd probe, StreamSocket());
  // Non-blocking: a full backlog (EAGAIN) is a sign of life too.
  ::fcntl(probe.get(), F_SETFL, O_NONBLOCK);
  if (::connect(probe.get(), address.get(), address.size) == 0 ||
      errno != ECONNREFUSED)
    return absl::AlreadyExistsError(absl::StrCat("somebody listens on ", path,
                                                 " without holding its lock"));
  if (::unlink(path.c_str()) != 0)
    return ErrnoStatus(errno, absl::StrCat("remove the stale ", path));
  return absl::OkStatus();
}

absl::Status Bind(int fd, const std::string& path, const Address& address,
                  mode_t mode, std::optional<gid_t> group) {
  // The file is born with this mode less the umask: never wider, and the
  // process' umask is left alone.
  if (::fchmod(fd, 0600) != 0) return ErrnoStatus(errno, "fchmod of a socket");
  if (::bind(fd, address.get(), address.size) != 0)
    return ErrnoStatus(errno, absl::StrCat("bind ", path));
  // The group before the mode: its bits must not be another group's first.
  if (group.has_value() &&
      ::chown(path.c_str(), static_cast<uid_t>(-1), *group) != 0)
    return ErrnoStatus(errno, absl::StrCat("chown ", path));
  if (::chmod(path.c_str(), mode) != 0)
    return ErrnoStatus(errno, absl::StrCat("chmod ", path));
  return absl::OkStatus();
}

absl::Status CheckListening(int fd) {
  int listening = 0, domain = 0, type = 0;
  socklen_t size = sizeof listening;
  const bool is_ours =
      ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 &&
      ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 &&
      ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 &&
      listening == 1 && domain == AF_UNIX && type == SOCK_STREAM;
  if (is_ours) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "the descriptor from the service manager is no listening Unix stream "
      "socket; see ListenStream= of the socket unit");
}

}  // namespace

std::string DefaultSocketPath() {
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && runtime[0] == '/')
    return absl::StrCat(runtime, "/kinescope/kinescope.sock");
  return "/run/kinescope/kinescope.sock";
}

absl::StatusOr<UnixListener> UnixListener::Listen(const std::string& path,
                                                  mode_t mode,
                                                  std::optional<gid_t> group) {
  KINE_ASSIGN_OR_RETURN(const Address address, AddressOf(path));
  KINE_RETURN_IF_ERROR(MakeParent(path));
  KINE_ASSIGN_OR_RETURN(UniqueFd lock, TakeLock(path));
  KINE_RETURN_IF_ERROR(RemoveStale(path, address));
  KINE_ASSIGN_OR_RETURN(UniqueFd fd, StreamSocket());
  KINE_RETURN_IF_ERROR(Bind(fd.get(), path, address, mode, group));
  // From here on the file is ours to remove.
  UnixListener listener(std::move(fd), std::move(lock), path);
  if (::listen(listener.fd_.get(), kBacklog) != 0)
    return ErrnoStatus(errno, absl::StrCat("listen on ", path));
  ::fcntl(listener.fd_.get(), F_SETFL, O_NONBLOCK);
  return listener;
}

UnixListener::~UnixListener() {
  if (lock_.valid()) ::unlink(path_.c_str());
}

absl::StatusOr<std::optional<UniqueFd>> TakeActivatedSocket() {
  const char* pid_text = std::getenv("LISTEN_PID");
  const char* count_text = std::getenv("LISTEN_FDS");
  pid_t pid = 0;
  int count = 0;
  const bool ours = pid_text != nullptr && count_text != nullptr &&
                    absl::SimpleAtoi(pid_text, &pid) && pid == ::getpid() &&
                    absl::SimpleAtoi(count_text, &count) && count > 0;
  for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"})
    ::unsetenv(name);
  if (!ours) return std::nullopt;
  if (count != 1)
    return absl::InvalidArgumentError(absl::StrCat(
        "the service manager passed ", count, " sockets instead of one"));
  UniqueFd fd(kListenFdsStart);
  KINE_RETURN_IF_ERROR(CheckListening(fd.get()));
  ::fcntl(fd.get(), F_SETFD, FD_CLOEXEC);
  ::fcntl(fd.get(), F_SETFL, O_NONBLOCK);
  return fd;
}

std::optional<gid_t> GroupOfListener(int listener) {
  Address address;
  address.size = sizeof address.un;
  if (::getsockname(listener, reinterpret_cast<sockaddr*>(&address.un),
                    &address.size) != 0 ||
      address.size <= offsetof(sockaddr_un, sun_path) ||
      address.un.sun_path[0] == '\0')
    return std::nullopt;
  struct stat info {};
  if (::stat(address.un.sun_path, &info) != 0) return std::nullopt;
  if ((info.st_mode & S_IWGRP) == 0) return std::nullopt;
  return info.st_gid;
}

absl::StatusOr<UniqueFd> ConnectUnix(const std::string& path,
                                     absl::Duration deadline) {
  KINE_ASSIGN_OR_RETURN(const Address address, AddressOf(path));
  KINE_ASSIGN_OR_RETURN(UniqueFd fd, StreamSocket());
  // A blocking connect waits for room in the backlog up to the send time-out
  // (0 would be for ever); a non-blocking one cannot be waited for.
  timeval timeout = absl::ToTimeval(std::max(deadline, absl::Milliseconds(1)));
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  int result = 0;
  do {
    result = ::connect(fd.get(), address.get(), address.size);
  } while (result != 0 && errno == EINTR);
  if (result != 0) {
    const int error = errno;
    switch (error) {
      case ECONNREFUSED:
        return absl::UnavailableError(absl::StrCat(
            "nobody listens on ", path, ": the daemon is not running"));
      case EAGAIN:
        return absl::ResourceExhaustedError(
            absl::StrCat("the backlog of ", path, " stayed full for ",
                         absl::FormatDuration(deadline)));
      default:
        return ErrnoStatus(error, absl::StrCat("connect to ", path));
    }
  }
  timeout = timeval{};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  return fd;
}

absl::StatusOr<bool> IsServed(const std::string& path) {
  const std::string name = path + ".lock";
  const UniqueFd lock(::open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!lock.valid()) {
    if (errno == ENOENT || errno == ENOTDIR) return false;
    return ErrnoStatus(errno, absl::StrCat("open ", name));
  }
  struct flock whole = WholeFile(F_WRLCK);
  if (::fcntl(lock.get(), F_OFD_GETLK, &whole) != 0)
    return ErrnoStatus(errno, absl::StrCat("query the lock ", name));
  return whole.l_type != F_UNLCK;
}

absl::StatusOr<Peer> PeerOf(int fd) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
    return ErrnoStatus(errno, "SO_PEERCRED");
  Peer peer{credentials.uid, credentials.gid, credentials.pid, {}};
  std::vector<gid_t> groups(32);
  size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
  int result =
      ::getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size);
  if (result != 0 && errno == ERANGE) {
    groups.resize(size / sizeof(gid_t));  // The kernel said how many.
    result = ::getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size);
  }
  if (result != 0) return ErrnoStatus(errno, "SO_PEERGROUPS");
  groups.resize(size / sizeof(gid_t));
  peer.groups = std::move(groups);
  return peer;
}

}  // namespace kine
