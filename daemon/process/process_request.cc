#include "daemon/process/process_request.h"

#include <signal.h>
#include <sys/resource.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "daemon/base/limits/output.h"
#include "daemon/base/limits/process.h"
#include "ipc/json_in.h"
#include "ipc/json_out.h"

namespace kine {
namespace {

using Request = ProcessRequest;

constexpr JsonName<Request::EnvPreset> kPresets[] = {
    {"none", Request::EnvPreset::kNone},
    {"noninteractive", Request::EnvPreset::kNonInteractive}};
constexpr JsonName<Request::Stdin> kStdins[] = {
    {"null", Request::Stdin::kNull}, {"pipe", Request::Stdin::kPipe}};
constexpr JsonName<Request::OnExit> kOnExits[] = {
    {"kill_tree", Request::OnExit::kKillTree},
    {"keep", Request::OnExit::kKeep}};
constexpr JsonName<Request::OnFull> kOnFulls[] = {
    {"drop_middle", Request::OnFull::kDropMiddle},
    {"block", Request::OnFull::kBlock},
    {"kill", Request::OnFull::kKill}};
// By rising number, so that equal requests are equal values.
constexpr JsonName<int> kRlimits[] = {
    {"cpu", RLIMIT_CPU},           {"fsize", RLIMIT_FSIZE},
    {"data", RLIMIT_DATA},         {"stack", RLIMIT_STACK},
    {"core", RLIMIT_CORE},         {"rss", RLIMIT_RSS},
    {"nproc", RLIMIT_NPROC},       {"nofile", RLIMIT_NOFILE},
    {"memlock", RLIMIT_MEMLOCK},   {"as", RLIMIT_AS},
    {"locks", RLIMIT_LOCKS},       {"sigpending", RLIMIT_SIGPENDING},
    {"msgqueue", RLIMIT_MSGQUEUE}, {"nice", RLIMIT_NICE},
    {"rtprio", RLIMIT_RTPRIO},     {"rttime", RLIMIT_RTTIME}};

template <typename E, size_t N>
const char* NameOf(E value, const JsonName<E> (&table)[N]) {
  for (const JsonName<E>& row : table)
    if (row.value == value) return row.name;
  return "";
}

void BindCommand(JsonObject& o, Request& request) {
  const JsonTextRule text{1, limits::kCommandBytesMax, JsonTextRule::kAny};
  o.Text("command", request.command, text);
  o.Texts("argv", request.argv, limits::kArgumentsMax,
          {0, limits::kCommandBytesMax, JsonTextRule::kAny});
  o.Text("shell", request.shell, {.min = 1, .max = 4'096});
  if (o.Has("command") && o.Has("argv"))
    o.Refuse("argv", "and command exclude each other; give one");
  else if (!o.Has("command") && !o.Has("argv"))
    o.Refuse("command", "is missing; give command, or argv for no shell");
  else if (o.Has("argv") && (request.argv.empty() || request.argv[0].empty()))
    o.Refuse("argv", "must name a program first");
  if (o.Has("shell") && o.Has("argv"))
    o.Refuse("shell", "runs a command; with argv there is no shell");
}

void BindEnvironment(JsonObject& o, Request& request) {
  o.Text("cwd", request.cwd,
         {.min = 1, .max = 4'095, .charset = JsonTextRule::kAny});
  if (!request.cwd.empty() && request.cwd[0] != '/')
    o.Refuse("cwd", "must be an absolute path");
  o.TextMap("env", request.env, limits::kEnvironmentMax,
            {1, limits::kEnvironmentNameMax, JsonTextRule::kPrintable},
            {0, limits::kEnvironmentValueMax, JsonTextRule::kAny});
  for (const auto& [name, value] : request.env)
    if (absl::StrContains(name, '=')) o.Refuse("env", "a name has no '='");
  o.Enum("env_preset", request.env_preset, kPresets);
  o.Text("user", request.user, {.min = 1, .max = 256});
  o.Int("nice", request.nice, -20, 19);
  o.Int("umask", request.umask, 0, 0777);
  o.Int("oom_score_adj", request.oom_score_adj, -1'000, 1'000);
  o.Object("rlimits", [&request](JsonObject& r) {
    for (const JsonName<int>& row : kRlimits) {
      std::optional<int64_t> value;
      r.Int(row.name, value, -1);  // -1: no limit.
      if (!value.has_value()) continue;
      Request::Rlimit limit{row.value, std::nullopt};
      if (*value >= 0) limit.value = static_cast<uint64_t>(*value);
      request.rlimits.push_back(limit);
    }
  });
}

void BindStreams(JsonObject& o, Request& request) {
  o.Object("pty", [&request](JsonObject& p) {
    Request::Terminal& terminal = *(request.pty = Request::Terminal());
    p.Int("cols", terminal.cols, 1, limits::kTerminalSideMax);
    p.Int("rows", terminal.rows, 1, limits::kTerminalSideMax);
  });
  o.Enum("stdin", request.standard_input, kStdins);
  if (request.pty.has_value() && o.Has("stdin"))
    o.Refuse("stdin", "is the terminal when there is a pty; leave it out");
  o.Bool("merge_stderr", request.merge_stderr);
  o.Object("output", [&request](JsonObject& p) {
    Request::Output& output = request.output;
    p.Int("head_bytes", output.head_bytes, 0,
          static_cast<int64_t>(limits::kOutputHeadBytesMax));
    p.Int("tail_bytes", output.tail_bytes, 4'096,
          static_cast<int64_t>(limits::kOutputTailBytesMax));
    p.Int("spool_bytes", output.spool_bytes, 0,
          static_cast<int64_t>(limits::kOutputSpoolBytesMax));
    p.Enum("on_full", output.on_full, kOnFulls);
  });
  o.Object("ready", [&request](JsonObject& r) {
    r.Int("port", request.ready.port, 1, 65'535);
    r.Text("regex", request.ready.regex,
           {.min = 1, .max = limits::kRegexBytesMax});
    if (r.Has("port") == r.Has("regex"))
      r.Refuse("port", "give exactly one of port and regex");
  });
}

void BindEnds(JsonObject& o, Request& request) {
  o.Int("deadline_ms", request.deadline_ms, 1, limits::kProcessDeadlineMaxMs);
  o.Object("stop", [&request](JsonObject& s) {
    std::string name = SignalName(request.stop.signal);
    s.Text("signal", name, {.min = 1, .max = 16});
    s.Int("grace_ms", request.stop.grace_ms, 0, limits::kProcessGraceMaxMs);
    const std::optional<int> signal = SignalFromName(name);
    if (!signal.has_value())
      s.Refuse("signal", "is no signal; give a name such as TERM or a number");
    else
      request.stop.signal = *signal;
  });
  o.Enum("on_exit", request.on_exit, kOnExits);
  o.Object("limits", [&request](JsonObject& l) {
    l.Int("memory_bytes", request.limits.memory_bytes, 1 << 20);
    l.Int("pids", request.limits.pids, 1, 1 << 22);
    l.Int("cpu_percent", request.limits.cpu_percent, 1, 100'000);
  });
}

void WriteLimits(JsonOut& out, const Request& request) {
  out.BeginObject("limits");
  out.Field("memory_bytes", request.limits.memory_bytes);
  out.Field("pids", request.limits.pids);
  out.Field("cpu_percent", request.limits.cpu_percent);
  out.End();
  out.BeginObject("rlimits");
  for (const Request::Rlimit& limit : request.rlimits) {
    if (limit.value.has_value())
      out.Field(NameOf(limit.resource, kRlimits), *limit.value);
    else
      out.Field(NameOf(limit.resource, kRlimits), -1);
  }
  out.End();
}

void WriteStreams(JsonOut& out, const Request& request) {
  if (request.pty.has_value()) {
    out.BeginObject("pty");
    out.Field("cols", request.pty->cols);
    out.Field("rows", request.pty->rows);
    out.End();
  } else {
    out.Field("stdin", NameOf(request.standard_input, kStdins));
  }
  out.Field("merge_stderr", request.merge_stderr);
  out.BeginObject("output");
  out.Field("head_bytes", request.output.head_bytes);
  out.Field("tail_bytes", request.output.tail_bytes);
  out.Field("spool_bytes", request.output.spool_bytes);
  out.Field("on_full", NameOf(request.output.on_full, kOnFulls));
  out.End();
  if (request.ready.any()) {
    out.BeginObject("ready");
    out.Field("port", request.ready.port);
    out.FieldIfAny("regex", request.ready.regex);
    out.End();
  }
}

}  // namespace

std::string ProcessRequest::CommandText() const {
  return command.empty() ? absl::StrJoin(argv, " ") : command;
}

void BindProcessRequest(JsonObject& o, ProcessRequest& request) {
  o.Text(
      "id", request.id,
      {.min = 1, .max = limits::kProcessIdMax, .charset = JsonTextRule::kId});
  BindCommand(o, request);
  BindEnvironment(o, request);
  BindStreams(o, request);
  BindEnds(o, request);
  o.TextMap(
      "labels", request.labels, limits::kLabelsMax,
      {.min = 1, .max = limits::kLabelKeyMax, .charset = JsonTextRule::kId},
      {.max = limits::kLabelValueMax});
  o.Text(
      "recording_id", request.recording_id,
      {.min = 1, .max = limits::kRecordingIdMax, .charset = JsonTextRule::kId});
  o.Text("expect_instance", request.expect_instance, {.max = 64});
}

absl::StatusOr<ProcessRequest> ParseProcessRequest(absl::string_view text) {
  ProcessRequest request;
  const absl::Status bound = BindJson(
      text, {}, [&request](JsonObject& o) { BindProcessRequest(o, request); });
  if (!bound.ok()) return bound;
  return request;
}

std::string ToJson(const ProcessRequest& request, bool for_digest) {
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  if (!for_digest) {
    out.FieldIfAny("id", request.id);
    out.FieldIfAny("expect_instance", request.expect_instance);
  }
  if (request.argv.empty()) {
    out.Field("command", request.command);
    out.Field("shell", request.shell);
  } else {
    out.BeginList("argv");
    for (const std::string& argument : request.argv) out.Value(argument);
    out.End();
  }
  out.FieldIfAny("cwd", request.cwd);
  out.Field("env", request.env);
  out.Field("env_preset", NameOf(request.env_preset, kPresets));
  out.FieldIfAny("user", request.user);
  out.Field("nice", request.nice);
  out.Field("umask", request.umask);
  out.Field("oom_score_adj", request.oom_score_adj);
  WriteLimits(out, request);
  WriteStreams(out, request);
  out.Field("deadline_ms", request.deadline_ms);
  out.BeginObject("stop");
  out.Field("signal", SignalName(request.stop.signal));
  out.Field("grace_ms", request.stop.grace_ms);
  out.End();
  out.Field("on_exit", NameOf(request.on_exit, kOnExits));
  out.Field("labels", request.labels);
  out.FieldIfAny("recording_id", request.recording_id);
  out.End();
  return text;
}

std::string DigestOf(const ProcessRequest& request) {
  // FNV-1a, 128 bits wide.
  __extension__ using Wide = unsigned __int128;
  Wide hash = (Wide{0x6c62272e07bb0142} << 64) | 0x62b821756295c58d;
  const Wide prime = (Wide{0x1000000} << 64) | 0x13b;
  for (const char c : ToJson(request, /*for_digest=*/true))
    hash = (hash ^ static_cast<unsigned char>(c)) * prime;
  return absl::StrFormat("%016x%016x", static_cast<uint64_t>(hash >> 64),
                         static_cast<uint64_t>(hash));
}

std::optional<int> SignalFromName(absl::string_view name) {
  int number = 0;
  if (absl::SimpleAtoi(name, &number))
    return number >= 1 && number < NSIG ? std::optional(number) : std::nullopt;
  if (absl::StartsWith(name, "SIG")) name.remove_prefix(3);
  for (int signal = 1; signal < NSIG; ++signal) {
    const char* known = ::sigabbrev_np(signal);
    if (known != nullptr && name == known) return signal;
  }
  return std::nullopt;
}

std::string SignalName(int signal) {
  const char* name = ::sigabbrev_np(signal);
  // The real-time ones have no names of their own.
  return name != nullptr ? absl::StrCat("SIG", name) : absl::StrCat(signal);
}

}  // namespace kine
