// Response: what a handler answers with. Reply: the duty to answer once.
//
// Server's loop only. Bodies are cursors: the connection reads as much as the
// client has taken, so a slow client costs one buffer and slows nobody.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "daemon/base/fd.h"
#include "ipc/problem.h"

namespace kine {

class Loop;

// `size` bytes of a file from `offset`, sent by sendfile() on the file loop.
struct FileRange {
  std::shared_ptr<const UniqueFd> fd;
  uint64_t offset = 0;
  uint64_t size = 0;
};

// What is in `before`, and then `size` bytes of a file from `offset`: one
// representation, whatever it is made of. The server honours Range, If-Range
// and If-None-Match for it when the status is 200, so a handler describes the
// whole and looks at no such header. The bytes must not change while they are
// sent (the file may grow).
struct FileBody {
  std::shared_ptr<const UniqueFd> fd;
  uint64_t offset = 0;
  uint64_t size = 0;
  std::string etag;  // Strong, with its quotes: "\"a-1\""; or empty.
  std::vector<FileRange> before = {};

  uint64_t total() const;
};

// An endless or computed body, pulled by the connection. Destroyed, on the
// server's loop, when the body has ended or the client has gone: what the
// closures own is the subscription.
struct StreamBody {
  enum class State {
    kMore,   // Something was appended; ask again.
    kWait,   // Nothing now: `wake` is called when asking again makes sense.
    kEnd,    // That was all. (What was appended is still sent.)
    kAbort,  // Broken off: the connection is cut, so the client sees it.
  };
  using Wake = absl::AnyInvocable<void()>;

  // Called once before the first read. `wake` is called on the server's loop,
  // never inside `read`; as often as wanted, also after the client has gone.
  absl::AnyInvocable<void(Wake wake)> start;
  // Appends about `room` bytes to `out`, one indivisible piece more at most.
  absl::AnyInvocable<State(size_t room, std::string& out)> read;
  // Of a body that is partly in files; else empty. Asked after each read() that
  // said kMore: what follows behind what that appended (which may then be
  // nothing), in the same piece. Sent by sendfile() on the file loop; the bytes
  // must be there and not change.
  absl::AnyInvocable<std::vector<FileRange>()> files;
};

// The wakes of many StreamBodies that show the same thing.
class WakeList {
 public:
  // `loop` is the server's, and outlives every turn of it that follows.
  explicit WakeList(Loop& loop)
      : loop_(loop), places_(std::make_shared<Places>()) {}

  // From the body's start() on, until nobody keeps what is returned.
  using Place = std::shared_ptr<StreamBody::Wake>;
  [[nodiscard]] Place Add(StreamBody::Wake wake);
  // Wakes all, later and once for many calls: who has news never waits for
  // readers. Not after the list has gone.
  void WakeAll();

 private:
  struct Places {
    std::vector<std::weak_ptr<StreamBody::Wake>> all;
    bool posted = false;
  };

  Loop& loop_;
  const std::shared_ptr<Places> places_;
};

// A header field, a query parameter, a {name} of a path.
using NameValue = std::pair<std::string, std::string>;

// Content-Length or Transfer-Encoding, Connection, Date and Kinescope-Instance
// are the server's; so is leaving the body out for HEAD.
struct Response {
  int status = 200;
  std::string content_type;  // Empty: no body.
  std::vector<NameValue> fields;
  std::variant<std::string, FileBody, StreamBody> body;
};

Response JsonResponse(int status, std::string json);
Response ProblemResponse(const Problem& problem);

// Must be answered exactly once, now or later; moved to whoever will know the
// answer. Destroyed unanswered, the client gets 500 `unanswered`, and the
// server counts that as our bug. Holds no pointer to the connection: when the
// client or the server has gone, the answer is dropped.
class Reply {
 public:
  // Gets the answer to the request `id`; nullopt when the Reply was dropped.
  using Sink =
      absl::AnyInvocable<void(uint64_t id, std::optional<Response> response)>;

  // `sink` is called if it is still alive then. `id` is not 0.
  Reply(std::weak_ptr<Sink> sink, uint64_t id)
      : sink_(std::move(sink)), id_(id) {}
  ~Reply();

  Reply(Reply&& other) noexcept
      : sink_(std::move(other.sink_)), id_(std::exchange(other.id_, 0)) {}
  Reply& operator=(Reply&& other) noexcept;

  // Each of these answers.
  void Send(Response response);
  void Json(int status, std::string json);
  void Fail(const absl::Status& error);
  void Fail(const Problem& problem);

  bool answered() const { return id_ == 0; }

 private:
  std::weak_ptr<Sink> sink_;
  uint64_t id_;  // 0: answered or moved from.
};

}  // namespace kine
