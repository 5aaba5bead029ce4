#include "daemon/process/process_streams.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "daemon/base/status.h"

namespace kine {
namespace {

bool Connects(int family, const sockaddr* address, socklen_t length) {
  const UniqueFd fd(
      ::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return false;
  if (::connect(fd.get(), address, length) == 0) return true;
  if (errno != EINPROGRESS) return false;
  // On loopback the answer is there at once, unless the backlog is full.
  pollfd ready{fd.get(), POLLOUT, 0};
  int error = 0;
  socklen_t size = sizeof error;
  return ::poll(&ready, 1, 0) == 1 &&
         ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size) == 0 &&
         error == 0;
}

}  // namespace

absl::StatusOr<PipeEnds> MakePipe(bool ours_reads) {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe2");
  PipeEnds ends{UniqueFd(fds[ours_reads ? 0 : 1]),
                UniqueFd(fds[ours_reads ? 1 : 0])};
  ::fcntl(ends.ours.get(), F_SETFL, O_NONBLOCK);
  return ends;
}

absl::Status MakeTerminal(const ProcessRequest::Terminal& size,
                          Spawner::Command& command, UniqueFd& ours) {
  ours = UniqueFd(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
  char name[64];
  if (!ours.valid() || ::grantpt(ours.get()) != 0 ||
      ::unlockpt(ours.get()) != 0 ||
      ::ptsname_r(ours.get(), name, sizeof name) != 0)
    return ErrnoStatus(errno, "no terminal");
  UniqueFd theirs(::open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!theirs.valid()) return ErrnoStatus(errno, name);
  KINE_RETURN_IF_ERROR(ResizeTerminal(ours.get(), size.cols, size.rows));
  command.standard_output = UniqueFd(::fcntl(theirs.get(), F_DUPFD_CLOEXEC, 3));
  command.standard_error = UniqueFd(::fcntl(theirs.get(), F_DUPFD_CLOEXEC, 3));
  if (!command.standard_output.valid() || !command.standard_error.valid())
    return ErrnoStatus(errno, "dup");
  command.standard_input = std::move(theirs);
  return absl::OkStatus();
}

absl::Status ResizeTerminal(int terminal, int cols, int rows) {
  winsize size{};
  size.ws_col = static_cast<unsigned short>(cols);
  size.ws_row = static_cast<unsigned short>(rows);
  if (::ioctl(terminal, TIOCSWINSZ, &size) != 0)
    return ErrnoStatus(errno, "TIOCSWINSZ");
  return absl::OkStatus();
}

bool PortIsOpen(uint16_t port) {
  sockaddr_in four{};
  four.sin_family = AF_INET;
  four.sin_port = htons(port);
  four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  sockaddr_in6 six{};
  six.sin6_family = AF_INET6;
  six.sin6_port = htons(port);
  six.sin6_addr = in6addr_loopback;
  return Connects(AF_INET, reinterpret_cast<const sockaddr*>(&four),
                  sizeof four) ||
         Connects(AF_INET6, reinterpret_cast<const sockaddr*>(&six),
                  sizeof six);
}

}  // namespace kine
