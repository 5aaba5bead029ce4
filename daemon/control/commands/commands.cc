#include "daemon/control/commands/commands.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/limits/timeline.h"
#include "daemon/base/status.h"
#include "daemon/output/output_text.h"
#include "daemon/programs/vfork_into.h"
#include "daemon/storage/directory.h"
#include "ipc/json_out.h"

namespace kine {
namespace {

constexpr char kDirectory[] = "processes";
constexpr size_t kCommandShown = 256;  // Of it, in an event.

// One line of what people call it.
std::string TitleOf(const ProcessRequest& request) {
  std::string text = request.CommandText();
  text.resize(std::min(text.find('\n'), text.size()));
  if (text.size() > limits::kCommandTitleMax) {
    text.resize(limits::kCommandTitleMax);
    text.resize(WholeCharacters(text));
    text += "...";
  }
  for (char& c : text)
    if (absl::ascii_iscntrl(static_cast<uint8_t>(c))) c = ' ';
  return text;
}

CommandSpan EndOf(const ProcessRecord& record) {
  CommandSpan span;
  span.process = record.id;
  span.code = record.exit->code;
  if (record.exit->code)
    span.outcome = absl::StrCat("exit ", *record.exit->code);
  else if (record.exit->signal)
    span.outcome = SignalName(*record.exit->signal);
  else
    span.outcome = ExitReasonName(record.exit->reason);
  return span;
}

const char* EventOf(const ProcessRecord& record) {
  switch (record.state) {
    case ProcessState::kStarting:
      return "process.starting";
    case ProcessState::kRunning:
      return record.ready ? "process.ready" : "process.started";
    case ProcessState::kOrphan:
      return "process.orphan";
    case ProcessState::kExited:
      return "process.exited";
  }
  return "process.state";
}

}  // namespace

absl::StatusOr<std::unique_ptr<Commands>> Commands::Create(
    Loop& loop, Spawner& spawner, FileIo& file_io, int state_fd,
    EventRing& events, Catalogue& recordings, const Options& options) {
  KINE_ASSIGN_OR_RETURN(UniqueFd directory,
                        MakeDirectory(state_fd, kDirectory));
  std::unique_ptr<Commands> commands(new Commands(loop, spawner, file_io,
                                                  std::move(directory), events,
                                                  recordings, options));
  commands->table_->Load();
  return commands;
}

Commands::Commands(Loop& loop, Spawner& spawner, FileIo& file_io,
                   UniqueFd directory, EventRing& events, Catalogue& recordings,
                   const Options& options)
    : events_(events),
      recordings_(recordings),
      directory_(std::move(directory)),
      cgroups_(Cgroups::Find(directory_.get())),
      pool_(loop, file_io, directory_.get()),
      context_{.loop = loop,
               .spawner = spawner,
               .cgroups = cgroups_,
               .observer = *this,
               .state_fd = directory_.get(),
               .exec_path = options.exec_path,
               .instance = options.instance,
               .boot_id = options.boot_id,
               .socket_path = options.socket_path,
               .original_nofile = options.original_nofile,
               .kill_orphans = options.kill_orphans,
               .begins_in_cgroup = CanVforkInto()} {
  table_ = std::make_unique<ProcessTable>(
      context_, [this](const ProcessRequest& request, ProcessFds fds,
                       ProcessOutput::Client& client) {
        return pool_.Make(request, std::move(fds), client);
      });
  routes_ = std::make_unique<ProcessRoutes>(loop, *table_, pool_,
                                            options.owner_optional);
  compat_ = std::make_unique<CompatProcesses>(loop.clock(), *table_, pool_);
}

std::vector<Route> Commands::Routes() {
  std::vector<Route> routes = routes_->Routes();
  std::vector<Route> compat = compat_->Routes();
  std::move(compat.begin(), compat.end(), std::back_inserter(routes));
  return routes;
}

void Commands::Shutdown(absl::AnyInvocable<void()> done) {
  table_->Shutdown(std::move(done));
}

void Commands::OnProcessState(const ProcessRecord& record) {
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  out.Field("id", record.id);
  out.Field("state", ProcessStateName(record.state));
  out.Field(
      "command",
      absl::string_view(record.request.CommandText()).substr(0, kCommandShown));
  if (record.pid != 0) out.Field("pid", record.pid);
  if (record.exit.has_value()) {
    out.BeginObject("exit");
    WriteExit(out, *record.exit);
    out.End();
  }
  out.End();
  events_.Publish(EventOf(record), text, record.owner);
  // Whoever follows its output waits for the exit to be known.
  if (const auto streams = StreamsOf(*table_, record)) streams->Wake();
}

absl::Status Commands::CheckRecording(const std::string& recording_id,
                                      const std::string& owner) {
  return recordings_.CheckCommand(recording_id, owner);
}

std::vector<std::string> Commands::OnProcessChapter(
    const ProcessRecord& record) {
  if (record.ended()) {
    recordings_.EndCommand(record.recordings, EndOf(record));
    return record.recordings;
  }
  CommandSpan span;
  span.process = record.id;
  span.command = TitleOf(record.request);
  return recordings_.AddCommand(record.owner, record.request.recording_id,
                                std::move(span));
}

void Commands::OnProcessActivity(const ProcessRecord& record) {
  (void)recordings_.NoteActivity(Viewer{record.owner});
}

}  // namespace kine
