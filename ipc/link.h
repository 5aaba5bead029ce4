// Link: one end of the channel between kinescoped and a recorder. Whole
// messages of JSON text (at most 64 KiB) with up to 4 file descriptors each,
// over SOCK_SEQPACKET. What the messages say is link_messages.h's business.
//
//   Link(...) -> OnMessage* -> OnClosed
//
// Threads: the loop's only. `loop` and `client` must outlive the Link. The
// client is called from the loop, never inside Send() or Close(), and may
// destroy the Link in any callback.
//
// Send never blocks. What the socket does not take now waits in a queue of 64
// messages or 1 MiB; when that is full the peer does not read any more:
// RESOURCE_EXHAUSTED, and the link closes, because two sides that have missed a
// message cannot agree on anything after it.
//
// The peer's death is seen at once (EOF), after every message that it had
// still sent. A message longer than 64 KiB, or with more descriptors than 4, is
// a protocol error and closes the link; its descriptors are closed too.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "daemon/base/fd.h"
#include "daemon/base/loop.h"

namespace kine {

class Link {
 public:
  class Client {
   public:
    virtual ~Client() = default;
    virtual void OnMessage(absl::string_view text,
                           std::vector<UniqueFd> fds) = 0;
    // Once, last. OK: the peer closed its end. DATA_LOSS: it broke the
    // protocol. RESOURCE_EXHAUSTED: it did not read. Else: the socket's error.
    virtual void OnClosed(absl::Status reason) = 0;
  };

  struct Pair {
    UniqueFd ours;
    UniqueFd theirs;  // For the child; close-on-exec, as every descriptor.
  };
  static absl::StatusOr<Pair> MakePair();

  // Takes a connected SOCK_SEQPACKET socket; makes it non-blocking and
  // close-on-exec.
  Link(Loop& loop, UniqueFd socket, Client& client);
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  // Sends one message, or queues it. INVALID_ARGUMENT: it is empty, too long
  // or has too many descriptors, and nothing was sent. FAILED_PRECONDITION:
  // the link is closed. The descriptors are closed once sent, or on an error.
  absl::Status Send(absl::string_view text, std::vector<UniqueFd> fds = {});

  // Closes now; what is still queued is dropped. OnClosed is not called.
  void Close();

  // Messages of ours that wait for the peer.
  size_t waiting() const { return queue_.size(); }
  bool open() const { return socket_.valid(); }
  // Messages that the socket has not taken yet: 0 means that all of them reach
  // the peer, even when this process dies now.
  size_t queued() const { return queue_.size(); }

 private:
  struct Message {
    std::string text;
    std::vector<UniqueFd> fds;
  };

  void Watch();
  void OnReady(uint32_t ready);
  void ReadOne();
  void WriteQueue();
  absl::Status WriteOne(absl::string_view text,
                        const std::vector<UniqueFd>& fds, bool& would_block);
  void Fail(absl::Status reason);
  void TellClosed();

  Loop& loop_;
  Client& client_;
  UniqueFd socket_;
  const std::unique_ptr<char[]> buffer_;
  std::deque<Message> queue_;
  size_t queue_bytes_ = 0;
  bool watching_writes_ = false;
  absl::Status reason_;
  LoopHandle watch_;
  LoopHandle closing_;
};

}  // namespace kine
