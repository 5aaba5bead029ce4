// kinectl live: a recording as it goes on, to standard output.
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

#include "daemon/base/status.h"
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

}  // namespace

int RunLive(Session& session, const Args& args) {
  const auto target = RecordingPath(args.operands()[0], "/live");
  if (!target.ok()) return session.Fail(target.status(), kUsage);
  return CopyLive(session, *target);
}

}  // namespace kinectl
