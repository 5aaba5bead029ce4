#include "ipc/link.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/check.h"
#include "daemon/base/limits.h"
#include "daemon/base/status.h"

namespace kine {
namespace {

// Room for exactly the descriptors that are allowed: more of them set
// MSG_CTRUNC, and the kernel does not even install those.
constexpr size_t kControlBytes = CMSG_SPACE(limits::kLinkFdsMax * sizeof(int));
using Control = std::array<char, kControlBytes>;

// Every SCM_RIGHTS descriptor of a received message, owned.
std::vector<UniqueFd> TakeFds(msghdr& header) {
  std::vector<UniqueFd> fds;
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr;
       c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
      fds.emplace_back(fd);
    }
  }
  return fds;
}

}  // namespace

absl::StatusOr<Link::Pair> Link::MakePair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
                   fds) != 0)
    return ErrnoStatus(errno, "making the recorder's socket pair");
  return Pair{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

Link::Link(Loop& loop, UniqueFd socket, Client& client)
    : loop_(loop),
      client_(client),
      socket_(std::move(socket)),
      buffer_(new char[limits::kLinkMessageBytesMax]) {
  KINE_CHECK(socket_.valid());
  ::fcntl(socket_.get(), F_SETFL, O_NONBLOCK);
  ::fcntl(socket_.get(), F_SETFD, FD_CLOEXEC);
  // The system's default may be smaller than one message.
  const int bytes = 4 * static_cast<int>(limits::kLinkMessageBytesMax);
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
  Watch();
}

Link::~Link() { Close(); }

void Link::Close() {
  watch_.Cancel();
  closing_.Cancel();
  socket_.Reset();
  queue_.clear();
  queue_bytes_ = 0;
}

void Link::Watch() {
  watch_.Cancel();  // One watch a descriptor.
  watching_writes_ = !queue_.empty();
  watch_ = LoopHandle(
      loop_, loop_.Watch(socket_.get(),
                         EPOLLIN | (watching_writes_ ? uint32_t{EPOLLOUT} : 0u),
                         [this](uint32_t ready) { OnReady(ready); }));
}

void Link::OnReady(uint32_t ready) {
  if ((ready & EPOLLOUT) != 0) WriteQueue();
  if (!open()) return;
  if (watching_writes_ != !queue_.empty()) Watch();
  if ((ready & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) ReadOne();
}

// One message a turn: the watch is level triggered, and the client may destroy
// this in the callback, so nothing may follow it.
void Link::ReadOne() {
  alignas(cmsghdr) Control control;
  iovec part{buffer_.get(), limits::kLinkMessageBytesMax};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  const ssize_t got =
      ::recvmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0) {
    const int error = errno;
    // ECONNRESET: the peer died with messages of ours unread. Its own last ones
    // are still to come; then EOF.
    if (error == EAGAIN || error == EINTR || error == ECONNRESET) return;
    return Fail(ErrnoStatus(error, "reading from the link"));
  }
  std::vector<UniqueFd> fds = TakeFds(header);
  if ((header.msg_flags & MSG_TRUNC) != 0) {
    return Fail(absl::DataLossError(
        absl::StrCat("the peer sent a message of more than ",
                     limits::kLinkMessageBytesMax, " bytes")));
  }
  if ((header.msg_flags & MSG_CTRUNC) != 0) {
    return Fail(absl::DataLossError(
        absl::StrCat("the peer sent more than ", limits::kLinkFdsMax,
                     " descriptors with a message, or this process can open "
                     "no more")));
  }
  if (got == 0) return Fail(absl::OkStatus());
  client_.OnMessage({buffer_.get(), static_cast<size_t>(got)}, std::move(fds));
}

absl::Status Link::Send(absl::string_view text, std::vector<UniqueFd> fds) {
  if (!open()) return absl::FailedPreconditionError("the link is closed");
  if (text.empty() || text.size() > limits::kLinkMessageBytesMax ||
      fds.size() > size_t{limits::kLinkFdsMax}) {
    return absl::InvalidArgumentError(
        absl::StrCat("a link message has 1 to ", limits::kLinkMessageBytesMax,
                     " bytes and at most ", limits::kLinkFdsMax,
                     " descriptors, not ", text.size(), " and ", fds.size()));
  }
  if (queue_.empty()) {
    bool would_block = false;
    absl::Status sent = WriteOne(text, fds, would_block);
    if (!would_block) return sent;
  }
  if (queue_.size() >= limits::kLinkQueueMessagesMax ||
      queue_bytes_ + text.size() > limits::kLinkQueueBytesMax) {
    auto full = absl::ResourceExhaustedError(
        absl::StrCat("the peer does not read: ", queue_.size(), " messages (",
                     queue_bytes_, " bytes) already wait for it"));
    Fail(full);
    return full;
  }
  queue_bytes_ += text.size();
  queue_.push_back({std::string(text), std::move(fds)});
  if (!watching_writes_) Watch();
  return absl::OkStatus();
}

void Link::WriteQueue() {
  while (!queue_.empty()) {
    bool would_block = false;
    const absl::Status sent =
        WriteOne(queue_.front().text, queue_.front().fds, would_block);
    if (would_block || !open()) return;
    if (!sent.ok()) {  // Nobody will read the rest.
      queue_.clear();
      queue_bytes_ = 0;
      return;
    }
    queue_bytes_ -= queue_.front().text.size();
    queue_.pop_front();
  }
}

absl::Status Link::WriteOne(absl::string_view text,
                            const std::vector<UniqueFd>& fds,
                            bool& would_block) {
  alignas(cmsghdr) Control control{};
  iovec part{const_cast<char*>(text.data()), text.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (!fds.empty()) {
    header.msg_control = control.data();
    header.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    for (size_t i = 0; i < fds.size(); ++i) {
      const int fd = fds[i].get();
      std::memcpy(CMSG_DATA(c) + i * sizeof fd, &fd, sizeof fd);
    }
  }
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return absl::OkStatus();
  const int error = errno;
  would_block = error == EAGAIN;
  if (would_block) return absl::OkStatus();
  absl::Status status = ErrnoStatus(error, "writing to the link");
  // A dead peer's last messages are still to be read: its EOF closes.
  if (error != EPIPE && error != ECONNRESET) Fail(status);
  return status;
}

void Link::Fail(absl::Status reason) {
  Close();
  reason_ = std::move(reason);
  closing_ = LoopHandle(
      loop_, loop_.PostAfter(absl::ZeroDuration(), [this] { TellClosed(); }));
}

void Link::TellClosed() { client_.OnClosed(std::move(reason_)); }

}  // namespace kine
