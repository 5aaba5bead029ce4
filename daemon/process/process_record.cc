#include "daemon/process/process_record.h"

#include <utility>

#include "daemon/base/record_text.h"
#include "ipc/json_out.h"

namespace kine {
namespace {

constexpr std::pair<ProcessState, const char*> kStates[] = {
    {ProcessState::kStarting, "starting"},
    {ProcessState::kRunning, "running"},
    {ProcessState::kOrphan, "orphan"},
    {ProcessState::kExited, "exited"}};
constexpr std::pair<ExitReason, const char*> kReasons[] = {
    {ExitReason::kExited, "exited"},
    {ExitReason::kSignaled, "signaled"},
    {ExitReason::kOomKilled, "oom_killed"},
    {ExitReason::kDeadline, "deadline"},
    {ExitReason::kCanceled, "canceled"},
    {ExitReason::kOutputLimit, "output_limit"},
    {ExitReason::kStartFailed, "start_failed"},
    {ExitReason::kLost, "lost"}};

void WriteUsage(JsonOut& out, const ProcessUsage& usage) {
  out.BeginObject("rusage");
  out.Field("user_us", usage.user_us);
  out.Field("system_us", usage.system_us);
  out.Field("max_rss_bytes", usage.max_rss_bytes);
  out.Field("major_faults", usage.major_faults);
  out.Field("read_blocks", usage.read_blocks);
  out.Field("written_blocks", usage.written_blocks);
  out.End();
}

}  // namespace

const char* ProcessStateName(ProcessState state) {
  for (const auto& [value, name] : kStates)
    if (value == state) return name;
  return "";
}

std::optional<ProcessState> ProcessStateFromName(absl::string_view name) {
  for (const auto& [value, known] : kStates)
    if (name == known) return value;
  return std::nullopt;
}

const char* ExitReasonName(ExitReason reason) {
  for (const auto& [value, name] : kReasons)
    if (value == reason) return name;
  return "";
}

std::optional<ExitReason> ExitReasonFromName(absl::string_view name) {
  for (const auto& [value, known] : kReasons)
    if (name == known) return value;
  return std::nullopt;
}

void WriteExit(JsonOut& out, const ProcessExit& exit) {
  out.Field("reason", ExitReasonName(exit.reason));
  out.Field("code", exit.code);
  if (exit.signal.has_value()) out.Field("signal", SignalName(*exit.signal));
  out.Field("core_dumped", exit.core_dumped);
  out.FieldIfAny("error", exit.error);
  out.FieldIfAny("message", exit.message);
  if (exit.usage.has_value()) WriteUsage(out, *exit.usage);
  out.Field("memory_peak_bytes", exit.memory_peak_bytes);
  out.Field("at", TimeText(exit.at));
  out.Field("at_us", exit.mono_us);
}

void WriteProcess(JsonOut& out, const ProcessRecord& record) {
  const ProcessRequest& request = record.request;
  out.Field("id", record.id);
  out.FieldIfAny("owner", record.owner);
  out.Field("state", ProcessStateName(record.state));
  if (request.argv.empty()) {
    out.Field("command", request.command);
  } else {
    out.BeginList("argv");
    for (const std::string& argument : request.argv) out.Value(argument);
    out.End();
  }
  out.FieldIfAny("cwd", request.cwd);
  if (record.pid != 0) out.Field("pid", record.pid);
  out.Field("started_at", TimeText(record.started_at));
  out.Field("started_us", record.started_mono_us);
  if (request.ready.any()) out.Field("ready", record.ready);
  if (record.adopted) out.Field("adopted", true);
  out.FieldIfAny("tree_by", record.tree_by);
  if (!record.leftovers.empty()) {
    out.BeginList("leftovers");
    for (const pid_t pid : record.leftovers) out.Value(pid);
    out.End();
  }
  if (!record.recordings.empty()) {
    out.BeginList("recordings");
    for (const std::string& id : record.recordings) out.Value(id);
    out.End();
  }
  if (record.exit.has_value()) {
    out.BeginObject("exit");
    WriteExit(out, *record.exit);
    out.End();
  }
  out.Field("labels", request.labels);
}

}  // namespace kine
