#include "ipc/connection.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/check.h"
#include "daemon/base/limits.h"

namespace kine {
namespace {

constexpr uint64_t kSerialMask = (uint64_t{1} << Connection::kSerialBits) - 1;

Problem TimedOut(absl::string_view what) {
  return Problem{408, "timeout",
                 absl::StrCat("the request's ", what, " came too slowly"), "",
                 ""};
}

}  // namespace

Connection::Connection(Host& host, uint64_t id, UniqueFd socket, Peer peer,
                       bool reserved_only)
    : host_(host),
      id_(id),
      peer_(std::move(peer)),
      reserved_only_(reserved_only),
      socket_(std::make_shared<const UniqueFd>(std::move(socket))),
      parser_([&host](const Request& request) {
        const Route* route =
            host.routes.Find(request.method, request.path).route;
        return route == nullptr ? limits::kBodyBytesMax
                                : route->body_bytes_max();
      }) {
  host_.metrics.connections.Add(1);
  UpdateWatch();
  UpdateDeadline();
}

Connection::~Connection() {
  Close();
  host_.metrics.connections.Add(-1);
}

void Connection::OnReady(uint32_t ready) {
  if ((ready & EPOLLOUT) != 0) blocked_ = false;
  const bool wants_input =
      state_ == State::kReading || state_ == State::kLingering;
  if ((ready & EPOLLIN) != 0 && wants_input) {
    // Before a hang-up is looked at: a client may ask and leave at once.
    ReadSome();
  } else if ((ready & (EPOLLHUP | EPOLLERR)) != 0) {
    Close();
  } else if ((ready & EPOLLIN) != 0) {
    input_waits_ = true;
  }
  Run();
}

void Connection::ReadSome() {
  auto& buffer = host_.read_buffer;
  const ssize_t count =
      ::recv(socket_->get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count <= 0) {
    Close();
    return;
  }
  const size_t size = static_cast<size_t>(count);
  host_.metrics.bytes_in.Add(size);
  if (state_ == State::kReading) {
    parser_.Append(absl::string_view(buffer.data(), size));
  } else if ((lingered_ += size) > limits::kLingerBytesMax) {
    Close();
  }
}

void Connection::Run() {
  if (running_) return;
  running_ = true;
  while (Step()) {
  }
  running_ = false;
  if (state_ == State::kClosed) return;
  UpdateWatch();
  UpdateDeadline();
}

// One step; false when something has to happen first.
bool Connection::Step() {
  if (state_ == State::kClosed || blocked_) return false;
  if (!out_.empty() && !Flush()) return false;
  switch (state_) {
    case State::kReading:
      return ParseNext();
    case State::kWriting:
      return WriteSome();
    case State::kHandling:
    case State::kLingering:
    case State::kClosed:
      break;
  }
  return false;
}

bool Connection::ParseNext() {
  input_waits_ = false;
  switch (parser_.Next()) {
    case RequestParser::Verdict::kMore:
      return false;
    case RequestParser::Verdict::kContinue:
      out_ += "HTTP/1.1 100 Continue\r\n\r\n";
      return true;
    case RequestParser::Verdict::kRequest:
      Dispatch(parser_.Take());
      return true;
    case RequestParser::Verdict::kRefused:
      Refuse(parser_.problem());
      return true;
  }
  return false;
}

void Connection::Dispatch(ParsedHead head) {
  Request& request = head.request;
  ++serial_;
  complete_at_ = host_.loop.clock().Now();
  http11_ = head.http11;
  keep_alive_ = head.keep_alive && !reserved_only_;
  conditions_.method = request.method;
  conditions_.range = request.range;
  conditions_.if_range = request.if_range;
  conditions_.if_none_match = request.if_none_match;
  request.peer = peer_;
  Response refusal;
  const Route* route = FindRoute(head, refusal);
  if (route == nullptr) {
    host_.metrics.refused_requests.Add();
    StartResponse(std::move(refusal));
    return;
  }
  host_.metrics.requests.Add();
  state_ = State::kHandling;
  const uint64_t reply_id = (id_ << kSerialBits) | (serial_ & kSerialMask);
  route->handler(std::move(request), Reply(host_.sink, reply_id));
}

const Route* Connection::FindRoute(ParsedHead& head, Response& refusal) const {
  Request& request = head.request;
  RouteTable::Match match = host_.routes.Find(request.method, request.path);
  Problem problem;
  if (host_.draining) {
    problem = {503, "shutting_down", "the daemon is shutting down", "", ""};
  } else if (!host_.hosts.empty() &&
             std::ranges::find(host_.hosts, head.host) == host_.hosts.end()) {
    problem = {403, "host_not_allowed",
               "this is not the host that was asked for", "", ""};
  } else if (match.route == nullptr && match.allow.empty()) {
    problem = {404, "no_route",
               absl::StrCat("there is nothing at ", request.path), "", ""};
  } else if (match.route == nullptr) {
    problem = {405, "method_not_allowed",
               absl::StrCat(request.path, " answers ", match.allow), "", ""};
  } else if (reserved_only_ && !match.route->reserved) {
    problem = {503, "connections",
               "too many connections: the last ones are kept for health, stop "
               "and cancel; close some that are not in use",
               absl::StrCat("kConnectionsMax is ", limits::kConnectionsMax),
               ""};
  } else if (match.route->body == Route::Body::kNone && !request.body.empty()) {
    problem = {400, "body_not_expected",
               absl::StrCat(MethodName(request.method), " ", request.path,
                            " takes no body"),
               "", ""};
  } else {
    for (const NameValue& query : request.query) {
      if (match.route->TakesQuery(query.first)) continue;
      problem = {
          400, "unknown_parameter",
          absl::StrCat(query.first, ": this route has no such query parameter"),
          "", query.first};
    }
    if (problem.code.empty()) {
      request.params = std::move(match.params);
      return match.route;
    }
  }
  refusal = ProblemResponse(problem);
  if (!match.allow.empty()) refusal.fields.emplace_back("Allow", match.allow);
  return nullptr;
}

void Connection::Refuse(const Problem& problem) {
  host_.metrics.refused_requests.Add();
  ++serial_;
  http11_ = true;
  keep_alive_ = false;
  refused_ = true;
  conditions_ = Request();
  StartResponse(ProblemResponse(problem));
}

void Connection::OnReply(uint64_t reply_id, std::optional<Response> response) {
  if (state_ != State::kHandling) return;
  if ((reply_id & kSerialMask) != (serial_ & kSerialMask)) return;
  host_.metrics.handling.Record(host_.loop.clock().Now() - complete_at_);
  if (response.has_value()) {
    StartResponse(*std::move(response));
  } else {
    StartResponse(ProblemResponse(
        Problem{500, "unanswered",
                "the daemon lost track of this request; ask for the state of "
                "what it was about before repeating it",
                "", ""}));
  }
  Run();
}

void Connection::Drain() {
  keep_alive_ = false;
  const bool idle = state_ == State::kReading && out_.empty() &&
                    !parser_.in_head() && !parser_.in_body();
  if (idle) Close();
  if (stream_.has_value()) {
    stream_waits_ = false;  // ReadStream() ends it, behind its open piece.
    Run();
  }
}

void Connection::Close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  watch_.Cancel();
  timer_.Cancel();
  // Also ends a transfer, which has its own reference to the socket.
  ::shutdown(socket_->get(), SHUT_RDWR);
  transfer_.reset();
  ranges_.clear();
  if (stream_.has_value()) {
    stream_.reset();
    host_.metrics.streams.Add(-1);
  }
  socket_.reset();
  host_.closed(id_);
}

void Connection::UpdateWatch() {
  uint32_t wanted = 0;  // Hang-ups are told unasked.
  if (blocked_) {
    wanted = EPOLLOUT;
  } else if (state_ == State::kReading || state_ == State::kLingering) {
    wanted = EPOLLIN;
  } else if (!input_waits_) {
    // Left as it is: most responses are over before more input comes.
    wanted = watched_ & EPOLLIN;
  }
  if (watch_.active() && wanted == watched_) return;
  watched_ = wanted;
  watch_.Cancel();
  watch_ = LoopHandle(
      host_.loop, host_.loop.Watch(socket_->get(), wanted,
                                   [this](uint32_t ready) { OnReady(ready); }));
}

Connection::Phase Connection::CurrentPhase() const {
  switch (state_) {
    case State::kReading:
      if (!out_.empty()) return Phase::kWrite;
      if (parser_.in_body()) return Phase::kBody;
      // The last free connections are not for keeping.
      return parser_.in_head() || reserved_only_ ? Phase::kHead : Phase::kIdle;
    case State::kWriting:
      // A stream that has nothing to say is not slow.
      return out_.empty() && stream_waits_ ? Phase::kNone : Phase::kWrite;
    case State::kLingering:
      return Phase::kLinger;
    case State::kHandling:
    case State::kClosed:
      break;
  }
  return Phase::kNone;
}

uint64_t Connection::Progress() const {
  return moved_ + (transfer_ == nullptr ? 0 : transfer_->sent());
}

void Connection::UpdateDeadline() {
  const Phase phase = CurrentPhase();
  const uint64_t progress = phase == Phase::kWrite ? Progress() : 0;
  if (phase == phase_ && serial_ == phase_serial_ &&
      progress == phase_progress_)
    return;
  phase_ = phase;
  phase_serial_ = serial_;
  phase_progress_ = progress;
  if (phase == Phase::kNone) return;
  constexpr int64_t kAllowedMs[] = {0,
                                    limits::kIdleMs,
                                    limits::kHeadMs,
                                    limits::kBodyMs,
                                    limits::kWriteStallMs,
                                    limits::kLingerMs};
  const MonoTime now = host_.loop.clock().Now();
  const MonoTime since = transfer_ == nullptr ? now : transfer_->moved_at();
  deadline_ =
      since + absl::Milliseconds(kAllowedMs[static_cast<size_t>(phase)]);
  if (timer_.active() && timer_due_ <= deadline_) return;
  timer_due_ = deadline_;
  timer_.Cancel();
  timer_ = LoopHandle(
      host_.loop, host_.loop.PostAfter(deadline_ - now, [this] { OnTimer(); }));
}

void Connection::OnTimer() {
  timer_.Cancel();
  UpdateDeadline();  // A transfer may have moved on.
  if (phase_ == Phase::kNone || timer_.active()) return;
  const absl::Duration left = deadline_ - host_.loop.clock().Now();
  if (left <= absl::ZeroDuration()) {
    OnDeadline();
    return;
  }
  timer_due_ = deadline_;
  timer_ =
      LoopHandle(host_.loop, host_.loop.PostAfter(left, [this] { OnTimer(); }));
}

void Connection::OnDeadline() {
  if (phase_ != Phase::kLinger) host_.metrics.timeouts.Add();
  if (phase_ == Phase::kBody || (phase_ == Phase::kHead && parser_.in_head())) {
    Refuse(TimedOut(phase_ == Phase::kBody ? "body" : "head"));
    Run();
  } else {
    Close();
  }
}

}  // namespace kine
