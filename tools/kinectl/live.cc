// kinectl live: a recording as it goes on, to standard output or to browsers.
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "daemon/base/epoll_loop.h"
#include "daemon/base/status.h"
#include "ipc/json_out.h"
#include "tools/kinectl/bridge.h"
#include "tools/kinectl/download.h"
#include "tools/kinectl/verbs.h"

namespace kinectl {
namespace {

int CopyLive(Session& session, const std::string& target) {
  if (::isatty(STDOUT_FILENO) != 0)
    return session.Fail(
        absl::InvalidArgumentError(
            "this is a video, and standard output a terminal: kinectl live ID "
            "| mpv -"),
        kUsage);
  kine::ClientRequest request;
  request.target = target;
  absl::Status local;  // An error of ours, not of the connection.
  absl::StatusOr<kine::ClientReply> reply =
      session.client().Stream(request, [&](absl::string_view piece) {
        local = WriteAll(STDOUT_FILENO, piece);
        return local;
      });
  // The player was closed: that is how watching ends.
  if (kine::ErrnoOf(local) == EPIPE) return kDone;
  if (!local.ok()) return session.Fail(local, kFailed);
  if (session.TakeSignal() != 0) return kCancelled;
  return session.Check(std::move(reply)).has_value() ? int{kDone}
                                                     : session.exit_code();
}

// "127.0.0.1:PORT"
absl::StatusOr<uint16_t> PortOf(absl::string_view address) {
  uint32_t port = 0;
  if (!absl::ConsumePrefix(&address, "127.0.0.1:") ||
      !absl::SimpleAtoi(address, &port) || port > 65'535)
    return absl::InvalidArgumentError(
        "--http must be 127.0.0.1:PORT: a recording is shown to this machine "
        "only");
  return static_cast<uint16_t>(port);
}

// Serves until a signal.
int ServeLive(Session& session, const Args& args, std::string target) {
  const absl::StatusOr<uint16_t> port = PortOf(args.Get("http"));
  if (!port.ok()) return session.Fail(port.status(), kUsage);
  auto loop = kine::EpollLoop::Create();
  if (!loop.ok()) return session.Fail(loop.status(), kFailed);
  const kine::Client::Options& client = session.client().options();
  auto bridge = LiveBridge::Create(
      **loop, {client.socket_path, client.owner, std::move(target), *port});
  if (!bridge.ok()) return session.Fail(bridge.status(), kFailed);
  std::string json;
  kine::JsonOut out(json);
  out.BeginObject();
  out.Field("url", (*bridge)->url());
  out.End();
  session.Print(json, (*bridge)->url());
  std::fflush(stdout);  // Read by who waits for it, while this runs on.
  const kine::LoopHandle signals(
      **loop, (*loop)->Watch(session.signals(), EPOLLIN,
                             [&loop](uint32_t) { (*loop)->Quit(); }));
  (*loop)->Run();
  return kDone;
}

}  // namespace

int RunLive(Session& session, const Args& args) {
  const auto target = RecordingPath(args.operands()[0], "/live");
  if (!target.ok()) return session.Fail(target.status(), kUsage);
  return args.Has("http") ? ServeLive(session, args, *target)
                          : CopyLive(session, *target);
}

}  // namespace kinectl
