// run: starts a command, copies its output and our input, forwards signals,
// ends with its code. logs: the copying alone.
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "daemon/base/fd.h"
#include "daemon/base/log.h"
#include "ipc/json_in.h"
#include "ipc/json_out.h"
#include "tools/kinectl/process_output.h"
#include "tools/kinectl/values.h"
#include "tools/kinectl/verbs.h"

namespace kinectl {
namespace {

constexpr size_t kInputPiece = 64u << 10;

// A name of its own, so that a start whose reply was lost can be repeated.
std::string FreshId() {
  return absl::StrCat(
      "run-",
      absl::FormatTime("%Y%m%d-%H%M%E6S", absl::Now(), absl::LocalTimeZone()),
      "-", ::getpid());
}

// Copies standard input on a thread and a connection of its own, because both
// directions block. Ends with the input, with the command, or with the object.
class InputCopy {
 public:
  InputCopy(const Args& args, std::string id)
      : id_(std::move(id)), stop_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    kine::Client::Options options;
    if (args.Has("socket")) options.socket_path = args.Get("socket");
    options.owner = args.Get("owner");
    options.cancel_fd = stop_.get();
    thread_ = std::thread([this, options] { Run(options); });
  }
  ~InputCopy() {
    const uint64_t one = 1;
    (void)!::write(stop_.get(), &one, sizeof one);
    thread_.join();
  }
  InputCopy(const InputCopy&) = delete;
  InputCopy& operator=(const InputCopy&) = delete;

 private:
  void Run(const kine::Client::Options& options) {
    kine::Client client(options);
    uint64_t offset = 0;
    std::string piece(kInputPiece, '\0');
    for (;;) {
      pollfd fds[] = {{STDIN_FILENO, POLLIN, 0}, {stop_.get(), POLLIN, 0}};
      if (::poll(fds, 2, -1) < 0 && errno != EINTR) return;
      if (fds[1].revents != 0) return;
      if (fds[0].revents == 0) continue;
      const ssize_t count = ::read(STDIN_FILENO, piece.data(), piece.size());
      if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      const bool eof = count <= 0;
      if (!Put(client, offset,
               absl::string_view(piece.data(),
                                 eof ? 0 : static_cast<size_t>(count)),
               eof) ||
          eof)
        return;
    }
  }

  // All of `bytes`; false when the command takes no more.
  bool Put(kine::Client& client, uint64_t& offset, absl::string_view bytes,
           bool eof) const {
    do {
      kine::ClientRequest request;
      request.method = "PUT";
      request.target =
          absl::StrCat("/v1/processes/", id_, "/stdin?timeout_ms=", kWaitMs,
                       "&offset=", offset, eof ? "&eof=1" : "");
      request.content_type = "application/octet-stream";
      request.body = std::string(bytes);
      const auto reply = client.Call(request);
      if (!reply.ok()) return false;
      if (reply->status() == 429) continue;  // It waited that long already.
      if (!reply->ok()) return false;
      uint64_t next = offset;
      const absl::Status bound =
          kine::BindJson(reply->body, {.unknown = kine::JsonUnknown::kIgnore},
                         [&next](kine::JsonObject& o) { o.Int("next", next); });
      if (!bound.ok() || next < offset || next - offset > bytes.size())
        return false;
      bytes.remove_prefix(next - offset);
      offset = next;
    } while (!bytes.empty());
    return true;
  }

  static constexpr int kWaitMs = 10'000;
  const std::string id_;
  const kine::UniqueFd stop_;
  std::thread thread_;
};

// Keys go to the command as they are, while this exists.
class RawTerminal {
 public:
  explicit RawTerminal(bool wanted) {
    if (!wanted || ::tcgetattr(STDIN_FILENO, &before_) != 0) return;
    termios raw = before_;
    ::cfmakeraw(&raw);
    active_ = ::tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
  }
  ~RawTerminal() {
    if (active_) ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

 private:
  termios before_{};
  bool active_ = false;
};

// K=V,K=V
void WriteMap(kine::JsonOut& out, const char* key, const std::string& text) {
  if (text.empty()) return;
  out.BeginObject(key);
  for (const absl::string_view item : absl::StrSplit(text, ',')) {
    const std::pair<std::string, std::string> pair =
        absl::StrSplit(item, absl::MaxSplits('=', 1));
    out.Field(pair.first, pair.second);
  }
  out.End();
}

absl::StatusOr<std::string> StartBody(const Args& args, const std::string& id) {
  std::string body;
  kine::JsonOut out(body);
  out.BeginObject();
  out.Field("id", id);
  if (args.Has("shell")) {
    out.Field("command", args.operands()[0]);
  } else {
    out.BeginList("argv");
    for (const std::string& word : args.operands()) out.Value(word);
    out.End();
  }
  char here[4096];
  if (args.Has("cwd"))
    out.Field("cwd", args.Get("cwd"));
  else if (::getcwd(here, sizeof here) != nullptr)
    out.Field("cwd", absl::string_view(here));
  WriteMap(out, "env", args.Get("env"));
  WriteMap(out, "labels", args.Get("labels"));
  if (!args.Has("no_stdin") && !args.Has("detach") && !args.Has("pty"))
    out.Field("stdin", "pipe");
  if (args.Has("pty")) {
    winsize size{};
    const bool known = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 &&
                       size.ws_col > 0 && size.ws_row > 0;
    out.BeginObject("pty");
    out.Field("cols", known ? size.ws_col : 80);
    out.Field("rows", known ? size.ws_row : 24);
    out.End();
  }
  if (args.Has("merge")) out.Field("merge_stderr", true);
  if (args.Has("noninteractive")) out.Field("env_preset", "noninteractive");
  if (args.Has("deadline")) {
    const auto deadline = ParseDuration(args.Get("deadline"));
    if (!deadline.ok()) return deadline.status();
    out.Field("deadline_ms", absl::ToInt64Milliseconds(*deadline));
  }
  out.End();
  return body;
}

// Tells the command what we were told.
bool Forward(Session& session, const std::string& id, int signal) {
  kine::ClientRequest request;
  request.method = "POST";
  request.target = absl::StrCat("/v1/processes/", id, "/signal");
  request.repeatable = false;
  request.body =
      absl::StrCat("{\"signal\":\"", signal, "\",\"scope\":\"group\"}");
  const auto reply = session.client().Call(request);
  // 409: it has ended meanwhile, and Follow() will say so.
  return reply.ok() && (reply->ok() || reply->status() == 409);
}

}  // namespace

int RunRun(Session& session, const Args& args) {
  if (args.Has("shell") && args.operands().size() != 1)
    return session.Fail(
        absl::InvalidArgumentError(
            "--shell takes the command as one word: kinectl run --shell "
            "'make && ls'"),
        kUsage);
  const std::string id = args.Has("id") ? args.Get("id") : FreshId();
  kine::ClientRequest start;
  start.method = "POST";
  start.target = "/v1/processes";
  const auto body = StartBody(args, id);
  if (!body.ok()) return session.Fail(body.status(), kUsage);
  start.body = *body;
  const auto started = session.Call(start);
  if (!started.has_value()) return session.exit_code();
  if (args.Has("detach")) {
    session.Print(started->body, id);
    return kDone;
  }
  OutputCopy output(session, id);
  absl::Status status;
  {
    const RawTerminal raw(args.Has("pty"));
    std::optional<InputCopy> input;
    if (!args.Has("no_stdin")) input.emplace(args, id);
    int forwarded = 0;
    for (;;) {
      status = output.Follow();
      if (!absl::IsCancelled(status)) break;
      const int signal = session.TakeSignal();
      // Whoever insists wants out, and gets the command killed.
      if (++forwarded > 3 || !Forward(session, id, signal)) {
        (void)Forward(session, id, SIGKILL);
        if (forwarded > 6) break;
      }
    }
  }
  if (!status.ok()) return session.Fail(status, Session::CodeOf(status));
  const ProcessState& state = output.state();
  if (!session.json() && !state.code.has_value())
    std::fprintf(stderr, "kinectl: %s\n", state.Outcome().c_str());
  return state.ExitCode();
}

int RunLogs(Session& session, const Args& args) {
  const std::string& id = args.operands()[0];
  if (!IsProcessId(id))
    return session.Fail(
        absl::InvalidArgumentError(absl::StrCat(
            kine::Quoted(id), " is no process' id; `kinectl ps` shows them")),
        kUsage);
  OutputCopy output(session, id);
  const absl::Status status =
      args.Has("follow") ? output.Follow() : output.CopyAll();
  // Ctrl-C is how one ends this.
  if (status.ok() || absl::IsCancelled(status)) return kDone;
  return session.Fail(
      status, absl::IsNotFound(status) ? kNotFound : Session::CodeOf(status));
}

}  // namespace kinectl
