#include "ipc/client.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/limits.h"
#include "daemon/base/log.h"
#include "daemon/base/status.h"
#include "ipc/json_in.h"

namespace kine {
namespace {

constexpr size_t kReadBytes = 256u << 10;
constexpr char kStart[] = "; start it: run kinescoped";

int RealPoll(pollfd* fds, nfds_t count, absl::Duration timeout) {
  const timespec time = absl::ToTimespec(std::max(timeout, absl::Duration()));
  return ::ppoll(fds, count, &time, nullptr);
}

// The text for a failed connect. What to do about it is only as strong as the
// evidence: a held lock says that a daemon is there.
absl::Status ConnectError(const absl::Status& error, const std::string& path) {
  const std::string where = Quoted(path);
  const absl::StatusOr<bool> served = IsServed(path);
  const bool gone = served.ok() && !*served;
  const char* advice = gone ? kStart
                       : served.ok()
                           ? "; a daemon holds its lock, so it is starting or "
                             "stopping: try again"
                           : "; try again";
  switch (error.code()) {
    case absl::StatusCode::kNotFound:
      return absl::NotFoundError(absl::StrCat(
          "no socket at ", where, advice, gone ? ", or give --socket" : ""));
    case absl::StatusCode::kUnavailable:
      return absl::UnavailableError(absl::StrCat(
          "nobody answers at ", where, ": connection refused", advice));
    case absl::StatusCode::kPermissionDenied:
      return absl::PermissionDeniedError(
          absl::StrCat("not allowed to connect to ", where,
                       "; be its owner, root, or in the socket's group"));
    case absl::StatusCode::kResourceExhausted:
      return absl::ResourceExhaustedError(absl::StrCat(
          "the daemon at ", where, " took no connection within ",
          limits::kConnectMs, " ms (its backlog is full)", "; try again"));
    default:
      return WithContext(absl::StrCat("connecting to ", where), error);
  }
}

absl::StatusCode CodeOfHttp(int status) {
  switch (status) {
    case 400:
    case 413:
    case 414:
    case 422:
    case 431:
      return absl::StatusCode::kInvalidArgument;
    case 403:
      return absl::StatusCode::kPermissionDenied;
    case 404:
    case 410:
      return absl::StatusCode::kNotFound;
    case 409:
    case 412:
    case 416:
      return absl::StatusCode::kFailedPrecondition;
    case 429:
    case 507:
      return absl::StatusCode::kResourceExhausted;
    case 501:
      return absl::StatusCode::kUnimplemented;
    case 503:
      return absl::StatusCode::kUnavailable;
    default:
      return absl::StatusCode::kInternal;
  }
}

}  // namespace

absl::Status ProblemOfReply(const ClientReply& reply) {
  if (reply.ok()) return absl::OkStatus();
  std::string code;
  std::string message;
  const JsonTextRule any = {.max = limits::kBodyBytesMax,
                            .charset = JsonTextRule::kAny};
  const absl::Status bound = BindJson(
      reply.body, {.unknown = JsonUnknown::kIgnore}, [&](JsonObject& o) {
        o.Text("code", code, any);
        o.Text("message", message, any);
      });
  if (!bound.ok() || message.empty())
    message = absl::StrCat("the daemon answered ", reply.status());
  return absl::Status(
      CodeOfHttp(reply.status()),
      code.empty() ? message : absl::StrCat(message, " (", code, ")"));
}

Client::Client(Options options)
    : options_(std::move(options)), buffer_(kReadBytes) {
  if (!options_.poll) options_.poll = RealPoll;
}

bool Client::Cancelled() {
  if (options_.cancel_fd < 0) return false;
  pollfd fd{options_.cancel_fd, POLLIN, 0};
  return ::poll(&fd, 1, 0) > 0;
}

absl::Status Client::Connect() {
  absl::StatusOr<UniqueFd> socket =
      ConnectUnix(options_.socket_path, absl::Milliseconds(limits::kConnectMs));
  if (Cancelled()) return absl::CancelledError("cancelled");
  if (!socket.ok()) return ConnectError(socket.status(), options_.socket_path);
  socket_ = *std::move(socket);
  return absl::OkStatus();
}

// Nothing is due on an idle connection: whatever can be read is a hang-up or
// not meant for the next request.
bool Client::Stale() {
  char byte = 0;
  const ssize_t got = ::recv(socket_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return got >= 0 || (errno != EAGAIN && errno != EINTR);
}

absl::Status Client::WaitFor(short events, MonoTime deadline, bool streamed) {
  const MonoTime silent =
      options_.clock->Now() + absl::Milliseconds(limits::kClientSilenceMs);
  const MonoTime until = streamed ? std::min(deadline, silent) : deadline;
  while (true) {
    pollfd fds[2] = {{socket_.get(), events, 0},
                     {options_.cancel_fd, POLLIN, 0}};
    const absl::Duration left = until - options_.clock->Now();
    const int ready = options_.poll(fds, 2, left);
    if (ready < 0 && errno != EINTR) return ErrnoStatus(errno, "poll");
    if (ready > 0 && fds[1].revents != 0)
      return absl::CancelledError("cancelled");
    if (ready > 0) return absl::OkStatus();
    if (options_.clock->Now() < until) continue;
    if (until < deadline) {
      return absl::UnavailableError(
          absl::StrCat("the daemon sent nothing for ",
                       limits::kClientSilenceMs / 1000, " s; try again"));
    }
    return absl::DeadlineExceededError(
        "the daemon did not answer before the request's deadline; what was "
        "asked may still happen: look at the state");
  }
}

absl::Status Client::SendAll(absl::string_view bytes, MonoTime deadline) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(),
                                MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
    } else if (errno == EAGAIN) {
      KINE_RETURN_IF_ERROR(WaitFor(POLLOUT, deadline, false));
    } else if (errno == EPIPE || errno == ECONNRESET) {
      // It may have answered before it closed (413): read that.
      return absl::OkStatus();
    } else if (errno != EINTR) {
      return ErrnoStatus(errno, "sending the request");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<absl::string_view> Client::Receive(MonoTime deadline,
                                                  bool streamed) {
  while (true) {
    KINE_RETURN_IF_ERROR(WaitFor(POLLIN, deadline, streamed));
    const ssize_t got =
        ::recv(socket_.get(), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (got >= 0)
      return absl::string_view(buffer_.data(), static_cast<size_t>(got));
    if (errno == ECONNRESET) return absl::string_view();
    if (errno != EAGAIN && errno != EINTR)
      return ErrnoStatus(errno, "reading the reply");
  }
}

std::string Client::Head(const ClientRequest& request) const {
  std::string head = absl::StrCat(request.method, " ", request.target,
                                  " HTTP/1.1\r\nHost: kinescope\r\n");
  if (!options_.owner.empty())
    absl::StrAppend(&head, "Kinescope-Owner: ", options_.owner, "\r\n");
  for (const auto& [name, value] : request.fields)
    absl::StrAppend(&head, name, ": ", value, "\r\n");
  if (!request.body.empty())
    absl::StrAppend(&head, "Content-Type: ", request.content_type, "\r\n");
  if (!request.body.empty() || request.method == "POST" ||
      request.method == "PUT")
    absl::StrAppend(&head, "Content-Length: ", request.body.size(), "\r\n");
  absl::StrAppend(&head, "\r\n", request.body);
  return head;
}

void Client::NoteInstance(ClientReply& reply) {
  const absl::string_view now = reply.head.Field("Kinescope-Instance");
  if (now.empty()) return;
  reply.restarted = !instance_.empty() && instance_ != now;
  instance_ = std::string(now);
}

Client::Outcome Client::Try(const ClientRequest& request, MonoTime deadline,
                            bool streamed, Sink sink, ClientReply& reply) {
  if (absl::Status sent = SendAll(Head(request), deadline); !sent.ok())
    return {sent};
  HttpResponseReader reader(request.method == "HEAD");
  const auto body = [&](absl::string_view piece) -> absl::Status {
    const int status = reader.head().status;
    if (streamed && status >= 200 && status < 300) return sink(piece);
    if (reply.body.size() + piece.size() > limits::kClientBodyBytesMax) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the reply is longer than ", limits::kClientBodyBytesMax,
                       " bytes; ask for less of it"));
    }
    reply.body.append(piece.data(), piece.size());
    return absl::OkStatus();
  };
  while (!reader.done()) {
    absl::StatusOr<absl::string_view> bytes =
        Receive(deadline, streamed && reader.head_done());
    if (!bytes.ok()) return {bytes.status()};
    if (bytes->empty()) {
      if (absl::Status whole = reader.Eof(); !whole.ok())
        return {absl::UnavailableError(whole.message()), true};
      socket_.Reset();
      break;
    }
    const absl::StatusOr<size_t> used = reader.Feed(*bytes, body);
    if (!used.ok()) return {used.status()};
    if (*used < bytes->size()) socket_.Reset();  // Out of step: never again.
  }
  reply.head = reader.head();
  if (!reply.head.keep_alive) socket_.Reset();
  NoteInstance(reply);
  return {};
}

absl::StatusOr<ClientReply> Client::Exchange(const ClientRequest& request,
                                             MonoTime deadline, bool streamed,
                                             Sink sink) {
  if (socket_.valid() && Stale()) socket_.Reset();
  for (bool again = false;; again = true) {
    if (!socket_.valid()) KINE_RETURN_IF_ERROR(Connect());
    ClientReply reply;
    bool delivered = false;
    const auto once = [&](absl::string_view piece) {
      delivered = true;
      return sink(piece);
    };
    Outcome outcome = Try(request, deadline, streamed, once, reply);
    if (outcome.status.ok()) return reply;
    socket_.Reset();  // The rest of a reply may still come: never mix them.
    if (!outcome.lost) return outcome.status;
    // What a sink has had cannot be taken back.
    if (again || !request.repeatable || delivered) {
      return absl::UnavailableError(absl::StrCat(
          "the daemon closed the connection: ", outcome.status.message(),
          request.repeatable
              ? "; try again"
              : "; whether it did what was asked is not known: look at the "
                "state first"));
    }
  }
}

absl::StatusOr<ClientReply> Client::Call(const ClientRequest& request) {
  return Exchange(request, options_.clock->Now() + request.deadline, false,
                  [](absl::string_view) { return absl::OkStatus(); });
}

absl::StatusOr<ClientReply> Client::Stream(const ClientRequest& request,
                                           Sink sink) {
  return Exchange(request, MonoTime::FromNanos(INT64_MAX), true, sink);
}

absl::StatusOr<ClientReply> Client::Wait(
    ClientRequest request, absl::Duration limit,
    absl::FunctionRef<bool(const ClientReply&)> done) {
  const MonoTime end = options_.clock->Now() + limit;
  const std::string target = absl::StrCat(
      request.target, absl::StrContains(request.target, '?') ? "&" : "?",
      "timeout_ms=");
  while (true) {
    const absl::Duration left =
        std::max(end - options_.clock->Now(), absl::ZeroDuration());
    const absl::Duration slice =
        std::min(left, absl::Milliseconds(limits::kClientWaitMs));
    request.target = absl::StrCat(target, absl::ToInt64Milliseconds(slice));
    request.deadline = absl::Milliseconds(limits::kClientSilenceMs);
    absl::StatusOr<ClientReply> reply = Call(request);
    if (!reply.ok() || !reply->ok() || done(*reply) || left <= slice)
      return reply;
  }
}

absl::Status Client::Follow(
    const std::string& target,
    absl::FunctionRef<bool(absl::string_view)> on_line) {
  ClientRequest request;
  request.target = target;
  request.fields = {{"Accept", "application/x-ndjson"}};
  std::string line;
  bool stopped = false;
  const auto sink = [&](absl::string_view piece) -> absl::Status {
    line.append(piece.data(), piece.size());
    size_t begin = 0;
    for (size_t end; (end = line.find('\n', begin)) != std::string::npos;
         begin = end + 1) {
      const auto one = absl::string_view(line).substr(begin, end - begin);
      if (one.empty() || one == R"({"type":"heartbeat"})") continue;
      stopped = !on_line(one);
      if (stopped) return absl::CancelledError("enough");
    }
    line.erase(0, begin);
    if (line.size() <= limits::kClientLineBytesMax) return absl::OkStatus();
    return absl::DataLossError(absl::StrCat(
        "an event is longer than ", limits::kClientLineBytesMax, " bytes"));
  };
  const absl::StatusOr<ClientReply> reply = Stream(request, sink);
  if (stopped) return absl::OkStatus();
  if (!reply.ok()) return reply.status();
  if (!reply->ok()) return ProblemOfReply(*reply);
  return absl::UnavailableError(
      "the daemon ended the events: it is shutting down");
}

}  // namespace kine
