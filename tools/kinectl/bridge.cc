#include "tools/kinectl/bridge.h"

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits.h"
#include "daemon/base/record_text.h"
#include "daemon/base/status.h"
#include "ipc/client.h"
#include "ipc/unix_socket.h"
#include "tools/kinectl/live_page.h"

namespace kinectl {
namespace {

using State = kine::StreamBody::State;

// No sooner for a wrong beginning than for a wrong end.
bool SameToken(absl::string_view a, absl::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned differ = 0;
  for (size_t i = 0; i < a.size(); ++i)
    differ |= static_cast<unsigned>(a[i]) ^ static_cast<unsigned>(b[i]);
  return differ == 0;
}

void AddSafeFields(kine::Response& response) {
  response.fields.emplace_back("Cache-Control", "no-store");
  response.fields.emplace_back("Referrer-Policy", "no-referrer");
  response.fields.emplace_back("X-Content-Type-Options", "nosniff");
  response.fields.emplace_back("Cross-Origin-Resource-Policy", "same-origin");
}

// The daemon's answer to one viewer: first its head, then its body.
class DaemonStream : public std::enable_shared_from_this<DaemonStream> {
 public:
  DaemonStream(kine::Loop& loop, kine::UniqueFd socket)
      : loop_(loop), socket_(std::move(socket)) {}

  // Answers `reply` once the head is there.
  void Start(absl::string_view request, kine::Reply reply) {
    reply_.emplace(std::move(reply));
    const ssize_t sent = ::send(socket_.get(), request.data(), request.size(),
                                MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent != static_cast<ssize_t>(request.size()))
      return Fail(absl::UnavailableError("the daemon takes no request"));
    // Until it is answered, nobody else holds this.
    WhenReadable([self = shared_from_this()] { self->ReadHead(); });
  }

 private:
  void WhenReadable(absl::AnyInvocable<void()> then) {
    watch_ = kine::LoopHandle(
        loop_, loop_.Watch(socket_.get(), EPOLLIN,
                           [this, then = std::move(then)](uint32_t) mutable {
                             absl::AnyInvocable<void()> now = std::move(then);
                             watch_.Cancel();
                             now();
                           }));
  }

  // Receives once, appending what belongs to the body to `out`. False: nothing
  // is there now.
  absl::StatusOr<bool> Receive(std::string& out) {
    std::array<char, 16 << 10> buffer;
    const ssize_t count =
        ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (count < 0) return kine::ErrnoStatus(errno, "recv");
    if (count == 0) {
      KINE_RETURN_IF_ERROR(reader_.Eof());
      return true;
    }
    KINE_RETURN_IF_ERROR(
        reader_
            .Feed(absl::string_view(buffer.data(), static_cast<size_t>(count)),
                  [&out](absl::string_view piece) {
                    absl::StrAppend(&out, piece);
                    return absl::OkStatus();
                  })
            .status());
    return true;
  }

  void ReadHead() {
    const absl::StatusOr<bool> got = Receive(early_);
    if (!got.ok()) return Fail(got.status());
    const bool ok = reader_.head_done() && reader_.head().status == 200;
    if (!reader_.head_done() || (!ok && !reader_.done())) {
      if (early_.size() > kine::limits::kBodyBytesMax)
        return Fail(absl::DataLossError("the daemon's error has no end"));
      return WhenReadable([self = shared_from_this()] { self->ReadHead(); });
    }
    kine::Response response;
    response.status = reader_.head().status;
    response.content_type = std::string(reader_.head().Field("Content-Type"));
    AddSafeFields(response);
    if (ok)
      response.body = Body();
    else
      response.body = std::move(early_);
    std::exchange(reply_, std::nullopt)->Send(std::move(response));
  }

  kine::StreamBody Body() {
    kine::StreamBody body;
    body.start = [self = shared_from_this()](kine::StreamBody::Wake wake) {
      self->wake_ = std::move(wake);
    };
    body.read = [self = shared_from_this()](size_t, std::string& out) {
      return self->Read(out);
    };
    return body;
  }

  State Read(std::string& out) {
    out = std::exchange(early_, "");
    while (out.empty() && !reader_.done()) {
      const absl::StatusOr<bool> got = Receive(out);
      if (!got.ok()) return State::kAbort;
      if (!*got) {
        WhenReadable([this] { wake_(); });
        return State::kWait;
      }
    }
    return reader_.done() ? State::kEnd : State::kMore;
  }

  void Fail(const absl::Status& status) {
    std::exchange(reply_, std::nullopt)->Fail(status);
  }

  kine::Loop& loop_;
  const kine::UniqueFd socket_;
  kine::HttpResponseReader reader_{/*bodyless=*/false};
  std::optional<kine::Reply> reply_;
  std::string early_;  // What came behind the head, or the error.
  kine::StreamBody::Wake wake_;
  kine::LoopHandle watch_;
};

absl::StatusOr<kine::UniqueFd> ListenLoopback(uint16_t& port) {
  kine::UniqueFd fd(
      ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return kine::ErrnoStatus(errno, "socket");
  const int yes = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(fd.get(), generic, size) != 0 ||
      ::listen(fd.get(), SOMAXCONN) != 0 ||
      ::getsockname(fd.get(), generic, &size) != 0)
    return kine::ErrnoStatus(errno,
                             absl::StrCat("listening on 127.0.0.1:", port));
  port = ntohs(address.sin_port);
  return fd;
}

}  // namespace

absl::StatusOr<std::unique_ptr<LiveBridge>> LiveBridge::Create(
    kine::EpollLoop& loop, BridgeOptions options) {
  uint16_t port = options.port;
  KINE_ASSIGN_OR_RETURN(kine::UniqueFd listener, ListenLoopback(port));
  std::unique_ptr<LiveBridge> bridge(
      new LiveBridge(loop, std::move(options), port));
  bridge->server_.Listen(std::move(listener));
  return bridge;
}

LiveBridge::LiveBridge(kine::EpollLoop& loop, BridgeOptions options,
                       uint16_t port)
    : loop_(loop),
      options_(std::move(options)),
      port_(port),
      token_(kine::MakeUuid()),
      table_(Routes()),
      server_(loop, loop, table_,
              {.instance = kine::MakeUuid(),
               .allowed_uids = {},
               .hosts = {absl::StrCat("127.0.0.1:", port),
                         absl::StrCat("localhost:", port)}}) {}

LiveBridge::~LiveBridge() = default;

std::string LiveBridge::url() const {
  return absl::StrCat("http://127.0.0.1:", port_, "/", token_, "/view");
}

std::vector<kine::Route> LiveBridge::Routes() {
  std::vector<kine::Route> routes(3);
  routes[0].path = "/{token}/view";
  routes[0].handler = [this](kine::Request request, kine::Reply reply) {
    GetView(request, std::move(reply));
  };
  routes[1].path = "/{token}/live";
  routes[1].handler = [this](kine::Request request, kine::Reply reply) {
    GetLive(request, "", std::move(reply));
  };
  // Chromium shows nothing of a block of 32 KiB that is not full.
  routes[2].path = "/{token}/padded";
  routes[2].handler = [this](kine::Request request, kine::Reply reply) {
    GetLive(request, "?pad=32768", std::move(reply));
  };
  return routes;
}

absl::Status LiveBridge::Check(const kine::Request& request) const {
  if (SameToken(request.Param("token"), token_)) return absl::OkStatus();
  return absl::NotFoundError("there is nothing here");
}

void LiveBridge::GetView(const kine::Request& request, kine::Reply reply) {
  if (absl::Status status = Check(request); !status.ok())
    return reply.Fail(status);
  kine::Response response;
  response.content_type = "text/html; charset=utf-8";
  AddSafeFields(response);
  response.fields.emplace_back(
      "Content-Security-Policy",
      "default-src 'none'; script-src 'unsafe-inline'; style-src "
      "'unsafe-inline'; media-src 'self' blob:; connect-src 'self'; "
      "frame-ancestors 'none'; base-uri 'none'; form-action 'none'");
  response.body = std::string(LivePage());
  reply.Send(std::move(response));
}

void LiveBridge::GetLive(const kine::Request& request, absl::string_view query,
                         kine::Reply reply) {
  if (absl::Status status = Check(request); !status.ok())
    return reply.Fail(status);
  // A Unix socket is connected at once, or its daemon is in trouble.
  absl::StatusOr<kine::UniqueFd> socket = kine::ConnectUnix(
      options_.socket_path, absl::Milliseconds(kine::limits::kConnectMs));
  if (!socket.ok()) return reply.Fail(socket.status());
  std::string head = absl::StrCat("GET ", options_.target, query,
                                  " HTTP/1.1\r\nHost: kinescope\r\n");
  if (!options_.owner.empty())
    absl::StrAppend(&head, "Kinescope-Owner: ", options_.owner, "\r\n");
  absl::StrAppend(&head, "\r\n");
  std::make_shared<DaemonStream>(loop_, *std::move(socket))
      ->Start(head, std::move(reply));
}

}  // namespace kinectl
