#include "daemon/process/process_store.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <cerrno>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "daemon/base/fd.h"
#include "daemon/base/limits/process.h"
#include "daemon/base/record_text.h"
#include "daemon/base/status.h"
#include "daemon/storage/directory.h"
#include "ipc/json_in.h"
#include "ipc/json_out.h"

namespace kine {
namespace {

constexpr size_t kStoredBytesMax = 256u << 10;
constexpr JsonTextRule kAnyText{0, 8'192, JsonTextRule::kAny};

constexpr absl::string_view kCommandSuffix = ".json";
constexpr absl::string_view kReceiptSuffix = ".receipt";

std::string NameOf(const StoredProcess& process) {
  return absl::StrCat(process.record.id,
                      process.receipt ? kReceiptSuffix : kCommandSuffix);
}

void BindExit(JsonObject& o, ProcessExit& exit) {
  std::string reason = "exited";
  std::string signal;
  std::string at;
  o.Text("reason", reason, kAnyText);
  o.Int("code", exit.code);
  o.Text("signal", signal, kAnyText);
  o.Bool("core_dumped", exit.core_dumped);
  o.Text("error", exit.error, kAnyText);
  o.Text("message", exit.message, kAnyText);
  o.Text("at", at, kAnyText);
  o.Object("rusage", [&exit](JsonObject& u) {
    ProcessUsage& usage = exit.usage.emplace();
    u.Int("user_us", usage.user_us);
    u.Int("system_us", usage.system_us);
    u.Int("max_rss_bytes", usage.max_rss_bytes);
    u.Int("major_faults", usage.major_faults);
    u.Int("read_blocks", usage.read_blocks);
    u.Int("written_blocks", usage.written_blocks);
  });
  o.Int("memory_peak_bytes", exit.memory_peak_bytes);
  exit.reason = ExitReasonFromName(reason).value_or(ExitReason::kLost);
  exit.signal = SignalFromName(signal);
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, at, &exit.at, &error))
    o.Refuse("at", "is no time");
}

// What ToText() and UpdateProcess() share.
void AddProgress(JsonOut& out, const StoredProcess& process) {
  out.Field("pid", process.record.pid);
  out.Field("start_ticks", process.start_ticks);
  if (!process.record.exit.has_value()) return;
  out.BeginObject("exit");
  WriteExit(out, *process.record.exit);
  out.End();
}

absl::Status BindLine(absl::string_view line, bool first,
                      StoredProcess& process, std::string& started_at,
                      std::string& request) {
  ProcessRecord& record = process.record;
  const JsonNeed need = first ? JsonNeed::kRequired : JsonNeed::kOptional;
  return BindJson(
      line, {kStoredBytesMax, JsonUnknown::kIgnore}, [&](JsonObject& o) {
        o.Text("id", record.id, {1, limits::kProcessIdMax, JsonTextRule::kId},
               need);
        o.Text("owner", record.owner, kAnyText);
        o.Text("digest", record.digest, kAnyText);
        o.Text("instance", process.instance, kAnyText);
        o.Text("boot_id", process.boot_id, kAnyText);
        o.Int("pid", record.pid);
        o.Int("start_ticks", process.start_ticks);
        o.Text("started_at", started_at, kAnyText, need);
        o.Bool("receipt", process.receipt);
        o.Bool("fence", process.fence);
        o.Object("exit",
                 [&](JsonObject& e) { BindExit(e, record.exit.emplace()); });
        o.Object("request", [&](JsonObject& r) { request = r.AsText(); });
      });
}

void Unlink(int directory, absl::string_view id, absl::string_view suffix) {
  // What stays is read and removed by the next daemon.
  (void)::unlinkat(directory, absl::StrCat(id, suffix).c_str(), 0);
}

absl::StatusOr<std::string> ReadWhole(int directory, const std::string& name) {
  KINE_ASSIGN_OR_RETURN(const UniqueFd fd,
                        OpenBeneath(directory, name, O_RDONLY));
  std::string text(kStoredBytesMax, 0);
  const ssize_t count = ::pread(fd.get(), text.data(), text.size(), 0);
  if (count < 0) return ErrnoStatus(errno, name);
  text.resize(static_cast<size_t>(count));
  return text;
}

}  // namespace

std::string ToText(const StoredProcess& process) {
  const ProcessRecord& record = process.record;
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  out.Field("format", 1);
  out.Field("id", record.id);
  out.Field("owner", record.owner);
  out.Field("digest", record.digest);
  out.Field("instance", process.instance);
  out.Field("boot_id", process.boot_id);
  out.Field("started_at", TimeText(record.started_at));
  out.Field("receipt", process.receipt);
  out.Field("fence", process.fence);
  if (!process.receipt) out.FieldRaw("request", ToJson(record.request));
  AddProgress(out, process);
  out.End();
  text += '\n';
  return text;
}

absl::StatusOr<StoredProcess> ParseStored(absl::string_view text) {
  StoredProcess process;
  ProcessRecord& record = process.record;
  std::string request;
  std::string started_at;
  bool first = true;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    // The first is written before the file has its name, and by earlier
    // versions without an end.
    if (end == text.npos && !first) break;
    KINE_RETURN_IF_ERROR(
        BindLine(text.substr(0, end), first, process, started_at, request));
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    first = false;
  }
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, started_at, &record.started_at,
                       &error))
    return absl::InvalidArgumentError("started_at is no time");
  if (request.empty()) {
    process.receipt = true;
    return process;
  }
  KINE_ASSIGN_OR_RETURN(record.request, ParseProcessRequest(request));
  return process;
}

absl::Status SaveProcess(int directory, const StoredProcess& process) {
  const std::string text = ToText(process);
  const std::string name = NameOf(process);
  const std::string temporary = absl::StrCat(".", name, ".tmp");
  const UniqueFd fd(
      ::openat(directory, temporary.c_str(),
               O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) return ErrnoStatus(errno, temporary);
  if (::write(fd.get(), text.data(), text.size()) !=
          static_cast<ssize_t>(text.size()) ||
      ::renameat(directory, temporary.c_str(), directory, name.c_str()) != 0)
    return ErrnoStatus(errno, name);
  if (process.receipt) Unlink(directory, process.record.id, kCommandSuffix);
  return absl::OkStatus();
}

absl::Status UpdateProcess(int directory, const StoredProcess& process) {
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  AddProgress(out, process);
  out.End();
  text += '\n';
  const std::string name = NameOf(process);
  const UniqueFd fd(::openat(directory, name.c_str(),
                             O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.valid() || ::write(fd.get(), text.data(), text.size()) !=
                         static_cast<ssize_t>(text.size()))
    return ErrnoStatus(errno, name);
  return absl::OkStatus();
}

void RemoveProcess(int directory, const std::string& id) {
  Unlink(directory, id, kCommandSuffix);
  Unlink(directory, id, kReceiptSuffix);
}

std::vector<StoredProcess> LoadProcesses(int directory,
                                         std::vector<std::string>& damaged) {
  std::vector<StoredProcess> out;
  absl::StatusOr<std::vector<std::string>> names = ListDirectory(directory);
  if (!names.ok()) return out;
  const std::set<std::string> all(names->begin(), names->end());
  for (const std::string& name : all) {
    if (name[0] == '.') {
      // A write that was cut short.
      if (absl::EndsWith(name, ".tmp"))
        (void)::unlinkat(directory, name.c_str(), 0);
      continue;
    }
    absl::string_view id = name;
    if (absl::ConsumeSuffix(&id, kCommandSuffix)) {
      // A daemon that died before it had removed the command's.
      if (all.count(absl::StrCat(id, kReceiptSuffix)) > 0) {
        Unlink(directory, id, kCommandSuffix);
        continue;
      }
    } else if (!absl::ConsumeSuffix(&id, kReceiptSuffix)) {
      continue;
    }
    const absl::StatusOr<std::string> text = ReadWhole(directory, name);
    absl::StatusOr<StoredProcess> process =
        text.ok() ? ParseStored(*text)
                  : absl::StatusOr<StoredProcess>(text.status());
    if (process.ok() && process->record.id == id) {
      out.push_back(*std::move(process));
      continue;
    }
    damaged.push_back(name);
    ::renameat(directory, name.c_str(), directory,
               absl::StrCat(name, ".damaged").c_str());
  }
  return out;
}

}  // namespace kine
