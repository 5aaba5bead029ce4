// LiveBridge: one recording's live view for a browser on this machine: a page
// that plays it, and the stream, over HTTP on a loopback port.
//
// Who knows the random token of the address may watch, nobody else: a page of
// another origin cannot guess it, what is not addressed to this port by its
// number (DNS rebinding) is refused, and no header invites other origins. There
// is nothing here but GET.
//
// One loop. A viewer is a request to the daemon of its own, and is read as fast
// as the browser takes it: a slow one is the daemon's to skip.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "daemon/base/epoll_loop.h"
#include "ipc/routes.h"
#include "ipc/server.h"

namespace kinectl {

struct BridgeOptions {
  std::string socket_path;  // The daemon's.
  std::string owner;
  std::string target;  // "/v1/recordings/ID/live"
  uint16_t port = 0;   // 0: a free one.
};

class LiveBridge {
 public:
  // Listens. An error names the port.
  static absl::StatusOr<std::unique_ptr<LiveBridge>> Create(
      kine::EpollLoop& loop, BridgeOptions options);
  ~LiveBridge();

  // What to open: http://127.0.0.1:PORT/TOKEN/view
  std::string url() const;

 private:
  LiveBridge(kine::EpollLoop& loop, BridgeOptions options, uint16_t port);

  std::vector<kine::Route> Routes();
  // NOT_FOUND without the token.
  absl::Status Check(const kine::Request& request) const;
  void GetView(const kine::Request& request, kine::Reply reply);
  void GetLive(const kine::Request& request, absl::string_view query,
               kine::Reply reply);

  kine::EpollLoop& loop_;
  const BridgeOptions options_;
  const uint16_t port_;
  const std::string token_;
  kine::RouteTable table_;
  kine::Server server_;
};

}  // namespace kinectl
