// Connection: one client of a Server, from its first byte to its last.
//
//   reading -> handling -> writing -> reading ...      a request at a time
//   reading -> writing -> lingering -> closed          a refusal
//
// The server's loop only; a file's bytes are sent by a FileTransfer on the file
// loop, during which the connection does not touch its socket but to shut it
// down. One request at a time: what a client pipelines stays in the kernel and
// in one buffer. Input is not read while a request is handled.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "daemon/base/fd.h"
#include "daemon/base/loop.h"
#include "ipc/http_parser.h"
#include "ipc/reply.h"
#include "ipc/routes.h"
#include "ipc/server.h"

namespace kine {

// sendfile() of one file range on the file loop, a piece at a time so that all
// transfers take turns. Shared by both threads; ends by itself when the socket
// is shut down.
class FileTransfer : public std::enable_shared_from_this<FileTransfer> {
 public:
  // `done` is posted to `loop` with whether every byte was sent.
  FileTransfer(Loop& loop, Loop& file_loop,
               std::shared_ptr<const UniqueFd> socket,
               std::shared_ptr<const UniqueFd> file, uint64_t offset,
               uint64_t size, absl::AnyInvocable<void(bool)> done);
  void Start();
  // Any thread.
  uint64_t sent() const { return sent_.load(std::memory_order_relaxed); }
  // When bytes were last sent; the construction before that.
  MonoTime moved_at() const {
    return MonoTime::FromNanos(moved_at_.load(std::memory_order_relaxed));
  }

 private:
  void SendPiece();
  void WaitForRoom();
  void Finish(bool complete);

  Loop& loop_;
  Loop& file_loop_;
  const uint64_t offset_;
  const uint64_t size_;
  std::atomic<uint64_t> sent_{0};
  std::atomic<int64_t> moved_at_;
  // File loop only, from Start() on.
  std::shared_ptr<const UniqueFd> socket_;
  std::shared_ptr<const UniqueFd> file_;
  absl::AnyInvocable<void(bool)> done_;
  Loop::Id watch_ = 0;
};

class Connection {
 public:
  // What connections share: their server's.
  struct Host : std::enable_shared_from_this<Host> {
    Host(Loop& loop_in, Loop& file_loop_in, const RouteTable& routes_in,
         std::string instance_in, std::vector<std::string> hosts_in)
        : loop(loop_in),
          file_loop(file_loop_in),
          routes(routes_in),
          instance(std::move(instance_in)),
          hosts(std::move(hosts_in)) {}

    Loop& loop;
    Loop& file_loop;
    const RouteTable& routes;
    const std::string instance;
    const std::vector<std::string> hosts;  // Empty: any.
    ServerMetrics metrics;
    std::weak_ptr<Reply::Sink> sink;
    // Hands what comes back later, from a transfer or a stream, to the
    // connection `id` if it is still there.
    using Call = absl::AnyInvocable<void(Connection&)>;
    absl::AnyInvocable<void(uint64_t id, Call call)> deliver;
    absl::AnyInvocable<void(uint64_t id)> closed;  // Never deletes inside.
    std::array<char, 16 << 10> read_buffer;
    std::string date;  // As of date_second.
    int64_t date_second = -1;
    bool draining = false;
  };

  // `reserved_only`: one of the last free ones. It serves one request, to a
  // route marked `reserved`.
  Connection(Host& host, uint64_t id, UniqueFd socket, Peer peer,
             bool reserved_only);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // The low bits of a Reply's id number the requests of one connection, the
  // others are the connection's.
  static constexpr int kSerialBits = 24;
  // nullopt: a handler dropped its Reply.
  void OnReply(uint64_t reply_id, std::optional<Response> response);
  // Closes as soon as the request in hand is answered; ends a stream.
  void Drain();
  uid_t uid() const { return peer_.uid; }

 private:
  enum class State { kReading, kHandling, kWriting, kLingering, kClosed };
  // What the deadline is for.
  enum class Phase { kNone, kIdle, kHead, kBody, kWrite, kLinger };

  void OnReady(uint32_t ready);
  void ReadSome();
  void Run();
  bool Step();
  bool ParseNext();
  void Dispatch(ParsedHead head);
  const Route* FindRoute(ParsedHead& head, Response& refusal) const;
  void Refuse(const Problem& problem);
  void Close();
  void UpdateWatch();

  Phase CurrentPhase() const;
  uint64_t Progress() const;
  void UpdateDeadline();
  void OnTimer();
  void OnDeadline();

  // connection_write.cc
  void StartResponse(Response response);
  void ResolveFile(Response& response);
  void WriteHead(const Response& response);
  bool Flush();
  bool WriteSome();
  bool ReadStream();
  void EndStream();
  void OnWake(uint64_t serial);
  void StartTransfer();
  void OnTransferred(bool complete);
  void FinishResponse();

  Host& host_;
  const uint64_t id_;
  const Peer peer_;
  const bool reserved_only_;
  std::shared_ptr<const UniqueFd> socket_;
  RequestParser parser_;

  State state_ = State::kReading;
  bool running_ = false;  // Inside Run(): events only change the state.

  // The request in hand.
  uint64_t serial_ = 0;
  MonoTime complete_at_;
  bool http11_ = true;
  bool keep_alive_ = true;
  bool refused_ = false;  // What follows on the stream has no meaning.
  Request conditions_;    // Its method and range fields.

  // The response in hand.
  std::string out_;  // Bytes on their way, from out_at_ on.
  size_t out_at_ = 0;
  bool blocked_ = false;          // The socket takes no more.
  std::deque<FileRange> ranges_;  // Still to be sent, the first one now.
  std::shared_ptr<FileTransfer> transfer_;
  std::optional<StreamBody> stream_;
  bool stream_waits_ = false;
  bool chunk_open_ = false;  // Its file ranges are still being sent.
  std::string piece_;        // Of the stream, before it is framed.

  uint32_t watched_ = 0;
  bool input_waits_ = false;  // Input came while none was wanted.
  size_t lingered_ = 0;

  // The deadline is lazy: it moves with every request, the timer does not.
  Phase phase_ = Phase::kNone;
  uint64_t phase_serial_ = 0;
  uint64_t phase_progress_ = 0;
  uint64_t moved_ = 0;  // Bytes sent, transfers in progress aside.
  MonoTime deadline_;
  MonoTime timer_due_;
  LoopHandle timer_;
  LoopHandle watch_;
};

// What somebody who is turned away at the door gets: a whole response, with
// the connection closed after it.
std::string RefusalBytes(const Problem& problem, absl::string_view instance);

}  // namespace kine
