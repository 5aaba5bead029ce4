// ps, kill, wait, and what they share with run and logs.
#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "daemon/base/limits.h"
#include "daemon/base/log.h"
#include "ipc/json_in.h"
#include "ipc/json_out.h"
#include "ipc/recording_request.h"
#include "tools/kinectl/process_state.h"
#include "tools/kinectl/values.h"
#include "tools/kinectl/verbs.h"

namespace kinectl {
namespace {

constexpr kine::JsonTextRule kText = {.max = 65'536,
                                      .charset = kine::JsonTextRule::kAny};
constexpr kine::JsonLimits kReplies = {
    .bytes_max = kine::limits::kClientBodyBytesMax,
    .unknown = kine::JsonUnknown::kIgnore};
constexpr size_t kCommandShown = 60;

ProcessState Bind(kine::JsonObject& o) {
  ProcessState state;
  std::vector<std::string> argv;
  o.Text("id", state.id, kText);
  o.Text("state", state.state, kText);
  o.Text("command", state.command, kText);
  o.Texts("argv", argv, kine::limits::kBodyBytesMax, kText);
  if (state.command.empty()) state.command = absl::StrJoin(argv, " ");
  o.Text("started_at", state.started_at, kText);
  o.Int("pid", state.pid);
  state.ended = o.Object("exit", [&](kine::JsonObject& e) {
    e.Text("reason", state.reason, kText);
    e.Text("signal", state.signal, kText);
    e.Text("error", state.error, kText);
    e.Text("message", state.message, kText);
    e.Int("code", state.code);
  });
  return state;
}

int NoProcess(Session& session, const std::string& id) {
  return session.Fail(
      absl::InvalidArgumentError(absl::StrCat(
          kine::Quoted(id), " is no process' id; `kinectl ps` shows them")),
      kUsage);
}

}  // namespace

absl::StatusOr<ProcessState> ParseProcessState(absl::string_view json) {
  ProcessState state;
  const absl::Status bound = kine::BindJson(
      json, kReplies, [&state](kine::JsonObject& o) { state = Bind(o); });
  if (!bound.ok()) return bound;
  return state;
}

int ProcessState::ExitCode() const {
  if (code.has_value()) return *code;
  if (!signal.empty()) {
    const int number = SignalNumber(signal);
    return number > 0 ? 128 + number : kFailed;
  }
  // As shells do.
  if (error == "exec_not_found" || error == "workdir_not_found") return 127;
  if (error == "permission_denied") return 126;
  return kFailed;
}

std::string ProcessState::Outcome() const {
  if (!ended) return state;
  std::string text = code.has_value() ? absl::StrCat("exit ", *code)
                                      : (signal.empty() ? reason : signal);
  if (reason != "exited" && reason != "signaled" && reason != text)
    absl::StrAppend(&text, " (", reason, ")");
  if (!message.empty()) absl::StrAppend(&text, ": ", message);
  return text;
}

int SignalNumber(absl::string_view name) {
  for (int number = 1; number < 65; ++number) {
    const char* abbreviation = ::sigabbrev_np(number);
    if (abbreviation != nullptr && name == absl::StrCat("SIG", abbreviation))
      return number;
  }
  return 0;
}

bool IsProcessId(const std::string& id) { return kine::IsRecordingId(id); }

int RunPs(Session& session, const Args& args) {
  kine::ClientRequest request;
  request.target = "/v1/processes";
  if (args.Has("state")) {
    const std::string state = args.Get("state");
    if (!std::all_of(state.begin(), state.end(),
                     [](char c) { return c >= 'a' && c <= 'z'; }))
      return session.Fail(
          absl::InvalidArgumentError("--state is running, orphan or exited"),
          kUsage);
    absl::StrAppend(&request.target, "?state=", state);
  }
  const auto reply = session.Call(request);
  if (!reply.has_value()) return session.exit_code();
  std::string text = absl::StrFormat("%-36s %-8s %-27s %-16s %s", "ID", "PID",
                                     "STARTED", "STATE", "COMMAND");
  const absl::Status bound =
      kine::BindJson(reply->body, kReplies, [&](kine::JsonObject& o) {
        o.List("items", kine::limits::kListItemsMax, [&](kine::JsonObject& p) {
          const ProcessState state = Bind(p);
          std::string command = kine::Quoted(state.command);
          if (command.size() > kCommandShown)
            command = command.substr(0, kCommandShown) + "...";
          absl::StrAppendFormat(&text, "\n%-36s %-8d %-27s %-16s %s", state.id,
                                state.pid, state.started_at, state.Outcome(),
                                command);
        });
      });
  if (!bound.ok()) return session.Fail(bound, kFailed);
  session.Print(reply->body, text);
  return kDone;
}

int RunKill(Session& session, const Args& args) {
  const std::string& id = args.operands()[0];
  if (!IsProcessId(id)) return NoProcess(session, id);
  kine::ClientRequest request;
  request.method = "POST";
  if (args.Has("signal") || args.Has("scope")) {
    request.target = absl::StrCat("/v1/processes/", id, "/signal");
    request.repeatable = false;
    kine::JsonOut out(request.body);
    out.BeginObject();
    out.Field("signal", args.Has("signal") ? args.Get("signal") : "TERM");
    out.FieldIfAny("scope", args.Get("scope"));
    out.End();
  } else {
    request.target = absl::StrCat("/v1/processes/", id, "/cancel");
  }
  const auto reply = session.Call(request);
  if (!reply.has_value()) return session.exit_code();
  const auto state = ParseProcessState(reply->body);
  session.Print(reply->body,
                state.ok() ? absl::StrCat(id, ": ", state->Outcome()) : "");
  return kDone;
}

int RunWait(Session& session, const Args& args) {
  const std::string& id = args.operands()[0];
  if (!IsProcessId(id)) return NoProcess(session, id);
  absl::Duration limit = absl::InfiniteDuration();
  if (args.Has("timeout")) {
    const auto parsed = ParseDuration(args.Get("timeout"));
    if (!parsed.ok()) return session.Fail(parsed.status(), kUsage);
    limit = *parsed;
  }
  kine::ClientRequest request;
  request.target = absl::StrCat("/v1/processes/", id, "?wait=exit");
  const auto ended = [](const kine::ClientReply& reply) {
    const auto state = ParseProcessState(reply.body);
    return !state.ok() || state->ended;
  };
  const auto reply =
      session.Check(session.client().Wait(request, limit, ended));
  if (!reply.has_value()) return session.exit_code();
  const auto state = ParseProcessState(reply->body);
  if (!state.ok()) return session.Fail(state.status(), kFailed);
  session.Print(reply->body, absl::StrCat(id, ": ", state->Outcome()));
  return state->ended ? state->ExitCode() : kFailed;
}

}  // namespace kinectl
