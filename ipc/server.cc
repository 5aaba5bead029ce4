#include "ipc/server.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <deque>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/check.h"
#include "daemon/base/limits.h"
#include "ipc/connection.h"
#include "ipc/unix_socket.h"

namespace kine {
namespace {

// So many a turn of the loop, so that a flood of them starves nobody.
constexpr int kAcceptsAtOnce = 16;
// That are held open for their clients to read why.
constexpr size_t kTurnedAwayMax = 64;

bool Contains(const std::vector<gid_t>& groups, gid_t group) {
  return std::find(groups.begin(), groups.end(), group) != groups.end();
}

}  // namespace

// Destroyed by the Server; what comes later finds `sink_` expired.
class Server::Impl {
 public:
  Impl(Loop& loop, Loop& file_loop, const RouteTable& routes,
       ServerOptions options);
  ~Impl();

  void Listen(UniqueFd socket);
  void Drain(absl::AnyInvocable<void()> done);
  const ServerMetrics& metrics() const { return host_->metrics; }

 private:
  struct Listener {
    UniqueFd socket;
    std::optional<gid_t> group;
    LoopHandle watch;
  };

  void Watch(Listener& listener);
  void Accept(Listener& listener);
  bool AcceptOne(Listener& listener);
  bool OutOfDescriptors(Listener& listener);
  void Pause();
  void Admit(Listener& listener, UniqueFd socket);
  bool IsAllowed(const Listener& listener, const Peer& peer) const;
  void Tell(const UniqueFd& socket, const Problem& problem);
  void TurnAway(UniqueFd socket, const Problem& problem);
  void CloseTurnedAway();
  void Erase(uint64_t id);

  const ServerOptions options_;
  const uid_t own_uid_ = ::geteuid();
  const std::shared_ptr<Connection::Host> host_;
  std::shared_ptr<Reply::Sink> sink_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  absl::flat_hash_map<uint64_t, std::unique_ptr<Connection>> connections_;
  absl::flat_hash_map<uid_t, int> per_uid_;
  uint64_t next_id_ = 1;
  UniqueFd spare_;  // Given up to tell somebody that there are no more.
  // Told that they cannot come in, and since when; the oldest first. Open for a
  // while: a client that writes its request before it reads would see a broken
  // pipe instead of the answer.
  std::deque<std::pair<MonoTime, UniqueFd>> turned_away_;
  absl::AnyInvocable<void()> drained_;
  LoopHandle resume_;
  LoopHandle close_turned_away_;
};

Server::Impl::Impl(Loop& loop, Loop& file_loop, const RouteTable& routes,
                   ServerOptions options)
    : options_(std::move(options)),
      host_(std::make_shared<Connection::Host>(
          loop, file_loop, routes, options_.instance, options_.hosts)),
      spare_(::open("/dev/null", O_RDONLY | O_CLOEXEC)) {
  std::signal(SIGPIPE, SIG_IGN);
  sink_ = std::make_shared<Reply::Sink>(
      [this](uint64_t id, std::optional<Response> response) {
        if (!response.has_value()) host_->metrics.unanswered.Add();
        const auto it = connections_.find(id >> Connection::kSerialBits);
        if (it != connections_.end())
          it->second->OnReply(id, std::move(response));
      });
  host_->sink = sink_;
  host_->deliver = [this](uint64_t id, Connection::Host::Call call) {
    const auto it = connections_.find(id);
    if (it != connections_.end()) call(*it->second);
  };
  // Later, because it is told from inside the connection.
  host_->closed = [this](uint64_t id) {
    host_->loop.Post([this, id, alive = std::weak_ptr<Reply::Sink>(sink_)] {
      if (!alive.expired()) Erase(id);
    });
  };
}

Server::Impl::~Impl() {
  // First: what dies below may drop Replies, which then go nowhere.
  sink_.reset();
  host_->closed = [](uint64_t) {};
  connections_.clear();
}

void Server::Impl::Listen(UniqueFd socket) {
  auto listener = std::make_unique<Listener>();
  if (options_.hosts.empty()) listener->group = GroupOfListener(socket.get());
  listener->socket = std::move(socket);
  Watch(*listener);
  listeners_.push_back(std::move(listener));
}

void Server::Impl::Watch(Listener& listener) {
  listener.watch = LoopHandle(
      host_->loop,
      host_->loop.Watch(listener.socket.get(), EPOLLIN,
                        [this, &listener](uint32_t) { Accept(listener); }));
}

void Server::Impl::Accept(Listener& listener) {
  for (int i = 0; i < kAcceptsAtOnce; ++i)
    if (!AcceptOne(listener)) return;
}

bool Server::Impl::AcceptOne(Listener& listener) {
  UniqueFd socket(::accept4(listener.socket.get(), nullptr, nullptr,
                            SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (socket.valid()) {
    Admit(listener, std::move(socket));
    return true;
  }
  switch (errno) {
    case ECONNABORTED:
    case EINTR:
      return true;
    case EAGAIN:
      return false;
    case EMFILE:
    case ENFILE:
      return OutOfDescriptors(listener);
    default:
      Pause();
      return false;
  }
}

// True when one waiting client could be told; then the next may be.
bool Server::Impl::OutOfDescriptors(Listener& listener) {
  spare_.Reset();
  UniqueFd socket(::accept4(listener.socket.get(), nullptr, nullptr,
                            SOCK_CLOEXEC | SOCK_NONBLOCK));
  const bool told = socket.valid();
  if (told)
    Tell(socket, Problem{503, "descriptors",
                         "the daemon has no file descriptor left; try "
                         "again when other connections are closed",
                         "", ""});
  socket.Reset();
  spare_ = UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  // Without a spare one the listener would stay readable for nothing.
  if (!told || !spare_.valid()) Pause();
  return told && spare_.valid();
}

void Server::Impl::Pause() {
  for (auto& listener : listeners_) listener->watch.Cancel();
  resume_ = LoopHandle(
      host_->loop,
      host_->loop.PostAfter(absl::Milliseconds(limits::kAcceptPauseMs), [this] {
        if (!spare_.valid())
          spare_ = UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
        for (auto& listener : listeners_) Watch(*listener);
      }));
}

void Server::Impl::Admit(Listener& listener, UniqueFd socket) {
  absl::StatusOr<Peer> peer = Peer{.uid = own_uid_};
  if (options_.hosts.empty()) peer = PeerOf(socket.get());
  if (!peer.ok()) return;  // Gone already.
  if (!IsAllowed(listener, *peer)) {
    host_->metrics.refused_peers.Add();
    TurnAway(std::move(socket),
             Problem{403, "peer_not_allowed",
                     absl::StrCat("uid ", peer->uid,
                                  " may not use this socket: it is neither "
                                  "root, the daemon's own, listed, nor in "
                                  "the socket's group"),
                     "", ""});
    return;
  }
  if (connections_.size() >= size_t{limits::kConnectionsMax}) {
    TurnAway(std::move(socket),
             Problem{503, "connections",
                     absl::StrCat("there are ", limits::kConnectionsMax,
                                  " connections already; close some"),
                     "", ""});
    return;
  }
  const bool reserved_only =
      connections_.size() >=
          size_t{limits::kConnectionsMax - limits::kConnectionsReserved} ||
      per_uid_[peer->uid] >= limits::kConnectionsPerUidMax;
  host_->metrics.accepted.Add();
  ++per_uid_[peer->uid];
  const uint64_t id = next_id_++;
  connections_.emplace(
      id, std::make_unique<Connection>(*host_, id, std::move(socket),
                                       *std::move(peer), reserved_only));
}

bool Server::Impl::IsAllowed(const Listener& listener, const Peer& peer) const {
  if (peer.uid == 0 || peer.uid == own_uid_) return true;
  const std::vector<uid_t>& listed = options_.allowed_uids;
  if (std::find(listed.begin(), listed.end(), peer.uid) != listed.end())
    return true;
  return listener.group.has_value() && (peer.gid == *listener.group ||
                                        Contains(peer.groups, *listener.group));
}

void Server::Impl::TurnAway(UniqueFd socket, const Problem& problem) {
  Tell(socket, problem);
  ::shutdown(socket.get(), SHUT_WR);
  if (turned_away_.size() == kTurnedAwayMax) turned_away_.pop_front();
  turned_away_.emplace_back(host_->loop.clock().Now(), std::move(socket));
  if (!close_turned_away_.active()) CloseTurnedAway();
}

void Server::Impl::CloseTurnedAway() {
  const MonoTime now = host_->loop.clock().Now();
  constexpr absl::Duration kLinger = absl::Milliseconds(limits::kLingerMs);
  while (!turned_away_.empty() && now - turned_away_.front().first >= kLinger)
    turned_away_.pop_front();
  close_turned_away_.Cancel();
  if (turned_away_.empty()) return;
  close_turned_away_ = LoopHandle(
      host_->loop,
      host_->loop.PostAfter(kLinger - (now - turned_away_.front().first),
                            [this] { CloseTurnedAway(); }));
}

void Server::Impl::Tell(const UniqueFd& socket, const Problem& problem) {
  if (problem.status == 503) host_->metrics.refused_connections.Add();
  const std::string bytes = RefusalBytes(problem, options_.instance);
  // A fresh socket has room; and nothing is lost if not.
  (void)!::send(socket.get(), bytes.data(), bytes.size(),
                MSG_NOSIGNAL | MSG_DONTWAIT);
}

void Server::Impl::Erase(uint64_t id) {
  const auto it = connections_.find(id);
  if (it == connections_.end()) return;
  const auto count = per_uid_.find(it->second->uid());
  if (--count->second == 0) per_uid_.erase(count);
  connections_.erase(it);
  if (connections_.empty() && drained_ != nullptr)
    std::exchange(drained_, nullptr)();
}

void Server::Impl::Drain(absl::AnyInvocable<void()> done) {
  KINE_CHECK(!host_->draining);
  host_->draining = true;
  resume_.Cancel();
  listeners_.clear();
  if (connections_.empty()) {
    host_->loop.Post(std::move(done));
    return;
  }
  drained_ = std::move(done);
  for (auto& [id, connection] : connections_) connection->Drain();
}

Server::Server(Loop& loop, Loop& file_loop, const RouteTable& routes,
               ServerOptions options)
    : impl_(std::make_unique<Impl>(loop, file_loop, routes,
                                   std::move(options))) {}
Server::~Server() = default;

void Server::Listen(UniqueFd listener) { impl_->Listen(std::move(listener)); }

void Server::Drain(absl::AnyInvocable<void()> done) {
  impl_->Drain(std::move(done));
}

const ServerMetrics& Server::metrics() const { return impl_->metrics(); }

}  // namespace kine
