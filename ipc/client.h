// Client: talks to the daemon for tools. Blocking; one connection, kept alive
// between calls.
//
//   idle -> connecting -> ready -> stale -> connecting ...
//
// Before a connection is used again it is looked at: hung up, or something
// unasked for in it, makes it stale, and it is dialled again, once a call. A
// reply that was lost (the daemon closed before it was whole) is asked for
// again, once, only where the request says that it may be repeated.
//
// Errors, each its own text that says what to do: NOT_FOUND no socket file;
// UNAVAILABLE refused, closed in the middle, or silent; PERMISSION_DENIED;
// RESOURCE_EXHAUSTED the backlog stayed full or the reply is too long;
// DEADLINE_EXCEEDED with the deadline that passed; CANCELLED, and nothing else,
// when the caller cancelled; DATA_LOSS no HTTP. HTTP error statuses are
// replies, not errors: ProblemOfReply() turns them into one. "Start the
// service" is advised only when connecting failed and nobody holds the
// service's lock.
//
// Threads: one at a time. The clock and poll() can be injected for tests.
#pragma once

#include <poll.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "daemon/base/clock.h"
#include "daemon/base/fd.h"
#include "ipc/unix_socket.h"

namespace kine {

struct HttpResponseHead {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> fields;
  std::optional<uint64_t> content_length;
  bool chunked = false;
  bool keep_alive = true;

  // The first field of that name, in any case, or "".
  absl::string_view Field(absl::string_view name) const;
};

// Reads one HTTP/1.1 response as the client of our own daemon: strict and
// bounded, because what it does not know it refuses.
//
// Pure, fed with bytes however they are cut; any thread. Refused with
// DATA_LOSS: any version but HTTP/1.1, interim (1xx) responses, which are never
// asked for, bare line feeds, folded lines, control characters in fields, two
// lengths, transfer codings other than chunked, chunk extensions, trailers, a
// head above 16 KiB. After an error the connection is of no use any more.
class HttpResponseReader {
 public:
  // Gets the body as it comes; an error ends Feed() with it.
  using Body = absl::FunctionRef<absl::Status(absl::string_view)>;

  // `bodyless`: the request was HEAD.
  explicit HttpResponseReader(bool bodyless) : bodyless_(bodyless) {}

  // How many of the bytes belong to this response: fewer than all only when
  // done() has come true.
  absl::StatusOr<size_t> Feed(absl::string_view bytes, Body body);

  // The connection has ended. OK when the response is whole (a body without
  // length ends so), else DATA_LOSS.
  absl::Status Eof();

  bool head_done() const { return state_ != State::kHead; }
  bool done() const { return state_ == State::kDone; }
  const HttpResponseHead& head() const { return head_; }
  uint64_t body_bytes() const { return body_bytes_; }

 private:
  enum class State {
    kHead,
    kSized,
    kUntilEof,
    kChunkSize,
    kChunk,
    kChunkEnd,
    kLastLine,
    kDone
  };

  absl::Status ParseHead();
  absl::Status ParseField(absl::string_view line);
  absl::Status ParseChunkSize();
  // Appends to line_ until CRLF; true when the line is whole.
  absl::StatusOr<bool> TakeLine(absl::string_view& bytes, size_t max);
  absl::Status TakeBody(absl::string_view& bytes, Body body);

  const bool bodyless_;
  State state_ = State::kHead;
  HttpResponseHead head_;
  std::string line_;  // The head, or a line of the chunk framing, so far.
  uint64_t left_ = 0;
  uint64_t body_bytes_ = 0;
};

struct ClientRequest {
  std::string method = "GET";
  std::string target;  // Path and query, percent-encoded.
  std::string body;    // "" = none.
  std::string content_type = "application/json";            // Of a body.
  std::vector<std::pair<std::string, std::string>> fields;  // Beyond our own.
  // The same request twice does no harm (README.md, Routes).
  bool repeatable = true;
  absl::Duration deadline = absl::Seconds(30);  // Whole call, without a stream.
};

struct ClientReply {
  HttpResponseHead head;
  std::string body;
  // The daemon is another run than at this client's call before.
  bool restarted = false;

  int status() const { return head.status; }
  bool ok() const { return head.status >= 200 && head.status < 300; }
};

// OK for a 2xx; else the problem's message, with the code that fits the status.
absl::Status ProblemOfReply(const ClientReply& reply);

class Client {
 public:
  struct Options {
    std::string socket_path = DefaultSocketPath();
    std::string owner;  // Kinescope-Owner; "" = none.
    // Readable = the caller wants out. -1 = never.
    int cancel_fd = -1;
    const Clock* clock = &SystemClock();
    // poll(2) for at most the duration.
    std::function<int(pollfd*, nfds_t, absl::Duration)> poll;
  };
  // Gets a streamed body; an error ends the call with it.
  using Sink = absl::FunctionRef<absl::Status(absl::string_view)>;

  explicit Client(Options options);

  // One request, its whole body kept (at most kClientBodyBytesMax).
  absl::StatusOr<ClientReply> Call(const ClientRequest& request);

  // The body goes to `sink` when the status is 2xx, else into the reply. No
  // deadline, but 30 s without a byte end it.
  absl::StatusOr<ClientReply> Stream(const ClientRequest& request, Sink sink);

  // Asks `request`, a GET with wait=, again until `done(reply)`, an error
  // status, or `limit` from now; the last reply either way. timeout_ms is
  // appended, in slices below the server's cap.
  absl::StatusOr<ClientReply> Wait(
      ClientRequest request, absl::Duration limit,
      absl::FunctionRef<bool(const ClientReply&)> done);

  // GETs `target` as NDJSON and calls `on_line` with each line but heartbeats,
  // until it returns false (OK), the daemon ends the stream (UNAVAILABLE) or
  // is silent for 30 s (UNAVAILABLE).
  absl::Status Follow(const std::string& target,
                      absl::FunctionRef<bool(absl::string_view)> on_line);

  // The instance of the last reply, or "".
  const std::string& instance() const { return instance_; }
  const Options& options() const { return options_; }
  // Whom cancelling waits for from now on.
  void set_cancel_fd(int fd) { options_.cancel_fd = fd; }

 private:
  // How a try to get a reply over the connection ended.
  struct Outcome {
    absl::Status status;
    bool lost = false;  // Closed before the reply was whole.
  };

  absl::StatusOr<ClientReply> Exchange(const ClientRequest& request,
                                       MonoTime deadline, bool streamed,
                                       Sink sink);
  Outcome Try(const ClientRequest& request, MonoTime deadline, bool streamed,
              Sink sink, ClientReply& reply);
  absl::Status Connect();
  bool Stale();
  absl::Status SendAll(absl::string_view bytes, MonoTime deadline);
  // Bytes, or "" at the end of the connection.
  absl::StatusOr<absl::string_view> Receive(MonoTime deadline, bool streamed);
  absl::Status WaitFor(short events, MonoTime deadline, bool streamed);
  std::string Head(const ClientRequest& request) const;
  bool Cancelled();
  void NoteInstance(ClientReply& reply);

  Options options_;
  UniqueFd socket_;
  std::string instance_;
  std::vector<char> buffer_;
};

}  // namespace kine
