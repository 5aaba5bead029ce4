#include "daemon/control/daemon.h"

#include <fcntl.h>
#include <sys/resource.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/limits/process.h"
#include "daemon/base/log.h"
#include "daemon/base/loop_thread.h"
#include "daemon/base/record_text.h"
#include "daemon/base/status.h"
#include "daemon/control/artifact/compat_recordings.h"
#include "daemon/control/catalogue.h"
#include "daemon/control/commands/commands.h"
#include "daemon/control/info.h"
#include "daemon/control/one_shot.h"
#include "daemon/control/record_store.h"
#include "daemon/control/service.h"
#include "daemon/storage/blocking_io.h"
#include "daemon/storage/create_file_io.h"
#include "daemon/storage/free_space.h"
#include "daemon/storage/state_dir.h"
#include "ipc/event_ring.h"
#include "ipc/server.h"
#include "ipc/unix_socket.h"

namespace kine {
namespace {

std::string BootId() {
  UniqueFd fd(::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
  char text[64];
  const ssize_t count =
      fd.valid() ? ::read(fd.get(), text, sizeof text) : ssize_t{-1};
  if (count <= 0) return "";
  return std::string(absl::StripAsciiWhitespace(
      absl::string_view(text, static_cast<size_t>(count))));
}

}  // namespace

// In the order in which they are built; destroyed from the last to the first.
struct Daemon::Parts {
  explicit Parts(EpollLoop& control) : loop(control) {}

  EpollLoop& loop;
  Histogram turns;
  DaemonInfo info;
  std::unique_ptr<StateDir> state_dir;
  std::unique_ptr<LoopThread> spawn_thread;
  std::unique_ptr<LoopThread> file_thread;
  std::unique_ptr<FileIo> file_io;
  std::optional<Spawner> spawner;
  std::optional<RecorderPool> recorders;
  std::optional<RunContext> context;
  std::optional<EventRing> events;
  std::optional<Catalogue> catalogue;
  std::optional<ReplayRing> replay;
  std::optional<Service> service;
  std::unique_ptr<Commands> commands;
  std::optional<CompatRecordings> compat_recordings;
  std::optional<RouteTable> routes;
  std::optional<UnixListener> listener;
  std::string socket_name;
  std::optional<Server> server;
  std::vector<std::string> recorder_argv;
  std::unique_ptr<OneShot> describe;
  absl::AnyInvocable<void()> shutdown_done;
  bool recordings_ended = false;
  bool commands_ended = false;
  LoopHandle deadline;

  absl::Status OpenState(const Options& options);
  absl::Status StartThreads();
  absl::Status ChooseFileIo(const Options& options);
  absl::Status StartCommands(const Options& options);
  absl::Status Listen(const Options& options);
  void Describe();
  void OnPartEnded();
  void OnDrained();
};

absl::Status Daemon::Parts::OpenState(const Options& options) {
  KINE_ASSIGN_OR_RETURN(state_dir, StateDir::Open(options.state_dir));
  info.instance = MakeUuid();
  info.boot_id = BootId();
  info.started_at = loop.clock().Wall();
  info.state_path = state_dir->path();
  info.limits = options.limits;
  info.queue_packets = options.queue_packets;
  info.render_node = options.render_node;
  const absl::Status ballast =
      EnsureBallast(state_dir->fd(), limits::kBallastBytes);
  if (!ballast.ok())
    LogWarning(absl::StrCat("no ballast for a full disk, ignoring: ",
                            ballast.message()));
  return absl::OkStatus();
}

absl::Status Daemon::Parts::StartThreads() {
  KINE_ASSIGN_OR_RETURN(spawn_thread, LoopThread::Start("kine-spawn"));
  KINE_ASSIGN_OR_RETURN(file_thread, LoopThread::Start("kine-sendfile"));
  // Side files are few and small; io_uring has nothing to give here.
  KINE_ASSIGN_OR_RETURN(
      ChosenFileIo chosen,
      CreateFileIo(FileIoChoice::kThread, UringProbe{}, loop, nullptr));
  file_io = std::move(chosen.file_io);
  spawner.emplace(loop, spawn_thread->loop());
  return absl::OkStatus();
}

absl::Status Daemon::Parts::ChooseFileIo(const Options& options) {
  // Probed once, here, so that no recording waits for it.
  if (options.file_io == FileIoChoice::kThread) {
    info.file_io = "thread";
    info.file_io_reason = "--file_io=thread";
    return absl::OkStatus();
  }
  const UringProbe probe = RunUringProbe(options.recorder_path);
  info.file_io = probe.usable ? "uring" : "thread";
  info.file_io_reason = probe.reason;
  // Asked for by name: better no daemon than another than was asked for.
  if (!probe.usable && options.file_io == FileIoChoice::kUring)
    return absl::FailedPreconditionError(
        absl::StrCat("--file_io=uring: ", probe.reason));
  return absl::OkStatus();
}

absl::Status Daemon::Parts::StartCommands(const Options& options) {
  Commands::Options own;
  own.exec_path = options.exec_path;
  own.instance = info.instance;
  own.boot_id = info.boot_id;
  own.socket_path = options.socket_path;
  own.kill_orphans = options.kill_orphans;
  own.owner_optional = options.owner_optional;
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    own.original_nofile = files.rlim_cur;
    // Commands get the original back: select() of theirs may not know more.
    const rlim_t wanted =
        std::min<rlim_t>(files.rlim_max, limits::kDescriptorsWanted);
    if (files.rlim_cur < wanted) {
      files.rlim_cur = wanted;
      if (::setrlimit(RLIMIT_NOFILE, &files) != 0)
        LogWarning("cannot raise the limit of open files, ignoring");
    }
  }
  KINE_ASSIGN_OR_RETURN(
      commands, Commands::Create(loop, *spawner, *file_io, state_dir->fd(),
                                 *events, *catalogue, own));
  const ProcessContext& known = commands->context();
  info.cgroups_usable = known.cgroups.usable();
  info.cgroups_reason = known.cgroups.reason();
  if (known.cgroups.usable())
    info.cgroup_start = known.begins_in_cgroup ? "clone3" : "moved";
  info.cgroup_controllers = known.cgroups.controllers();
  info.cgroup_controllers_reason = known.cgroups.controllers_reason();
  return absl::OkStatus();
}

absl::Status Daemon::Parts::Listen(const Options& options) {
  KINE_ASSIGN_OR_RETURN(std::optional<UniqueFd> activated,
                        TakeActivatedSocket());
  ServerOptions server_options;
  server_options.instance = info.instance;
  server_options.allowed_uids = options.allowed_uids;
  UniqueFd socket;
  if (activated.has_value()) {
    socket = *std::move(activated);
    socket_name = "passed by the service manager";
  } else {
    KINE_ASSIGN_OR_RETURN(
        UnixListener own,
        UnixListener::Listen(options.socket_path, options.socket_mode,
                             options.socket_group));
    listener.emplace(std::move(own));
    socket = listener->TakeFd();
    socket_name = options.socket_path;
  }
  server.emplace(loop, file_thread->loop(), *routes, std::move(server_options));
  server->Listen(std::move(socket));
  return absl::OkStatus();
}

void Daemon::Parts::Describe() {
  std::vector<std::string> argv = recorder_argv;
  argv.insert(argv.begin() + 1, "--describe");
  describe = std::make_unique<OneShot>(
      loop, *spawner, std::move(argv), std::vector<UniqueFd>{},
      absl::Milliseconds(limits::kListSourcesMs),
      [this](absl::StatusOr<std::string> output) {
        describe.reset();
        absl::StatusOr<link::ToDaemon> message =
            output.ok() ? link::ParseToDaemon(*output)
                        : absl::StatusOr<link::ToDaemon>(output.status());
        const auto* hello =
            message.ok() ? std::get_if<link::Hello>(&*message) : nullptr;
        if (hello == nullptr) {
          info.recorder_error = message.ok()
                                    ? "the recorder did not describe itself"
                                    : std::string(message.status().message());
          LogError(absl::StrCat("recorder ", Quoted(context->recorder_path),
                                ": ", info.recorder_error));
          return;
        }
        info.encoders = hello->encoders;
        info.encoders_refused = hello->encoders_refused;
      });
}

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Create(const Options& options,
                                                       EpollLoop& loop) {
  auto parts = std::make_unique<Parts>(loop);
  KINE_RETURN_IF_ERROR(parts->OpenState(options));
  KINE_RETURN_IF_ERROR(parts->StartThreads());
  KINE_RETURN_IF_ERROR(parts->ChooseFileIo(options));
  parts->recorder_argv = {
      options.recorder_path, absl::StrCat("--file_io=", parts->info.file_io),
      absl::StrCat("--file_io_reason=", parts->info.file_io_reason)};
  if (!options.render_node.empty())
    parts->recorder_argv.push_back(
        absl::StrCat("--render_node=", options.render_node));
  parts->recorders.emplace(loop, *parts->spawner, parts->recorder_argv);
  parts->context.emplace(RunContext{loop, *parts->spawner, *parts->file_io,
                                    *parts->state_dir, *parts->recorders,
                                    options.recorder_path,
                                    options.queue_packets, options.encoder});
  parts->events.emplace(loop, parts->info.instance);
  parts->catalogue.emplace(*parts->context, *parts->events, options.limits,
                           parts->info.instance);
  parts->replay.emplace(*parts->context, *parts->catalogue, *parts->events,
                        options.replay);
  parts->service.emplace(*parts->context, *parts->catalogue, *parts->events,
                         *parts->replay, parts->info, options.owner_optional);
  KINE_RETURN_IF_ERROR(parts->StartCommands(options));
  std::vector<Route> routes = parts->service->Routes();
  for (Route& route : parts->commands->Routes())
    routes.push_back(std::move(route));
  parts->compat_recordings.emplace(
      *parts->context, *parts->catalogue, parts->service->extractor(),
      options.desktop_source, options.limits.recordings_per_owner_max);
  parts->compat_recordings->AddTo(routes);
  AddOpenApiRoute(routes, KINESCOPE_VERSION);
  parts->routes.emplace(std::move(routes));
  KINE_RETURN_IF_ERROR(parts->Listen(options));
  Parts* const p = parts.get();
  parts->service->set_metrics([p] {
    return MetricsText(*p->catalogue, *p->recorders, *p->replay, *p->commands,
                       p->server->metrics(), p->turns);
  });
  loop.set_turn_histogram(&parts->turns);
  parts->catalogue->set_restore_token(LoadRestoreToken(*parts->state_dir));
  parts->catalogue->Adopt(
      LoadRecords(*parts->state_dir, parts->info.strangers));
  parts->replay->Start();
  parts->Describe();
  return std::unique_ptr<Daemon>(new Daemon(std::move(parts)));
}

Daemon::Daemon(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Daemon::~Daemon() {
  parts_->loop.set_turn_histogram(nullptr);
  parts_->describe.reset();
  parts_->server.reset();
  parts_->file_thread.reset();
  // Before what its callbacks belong to: none of them runs any more.
  parts_->file_io.reset();
}

const std::string& Daemon::socket_name() const { return parts_->socket_name; }

void Daemon::Shutdown(absl::AnyInvocable<void()> done) {
  parts_->service->set_stopping();
  parts_->shutdown_done = std::move(done);
  parts_->deadline = LoopHandle(
      parts_->loop,
      parts_->loop.PostAfter(
          absl::Milliseconds(limits::kShutdownMs), [p = parts_.get()] {
            LogError(
                "stopping took too long; what is unfinished will be recovered "
                "at the next start");
            p->OnDrained();
          }));
  parts_->replay->Stop();
  // Requests are answered meanwhile: who waits for `ready` gets it.
  parts_->catalogue->Shutdown([p = parts_.get()] {
    // Their recorders close files that are finished: a moment more.
    p->recorders->WhenEmpty([p] {
      p->recordings_ended = true;
      p->OnPartEnded();
    });
  });
  parts_->commands->Shutdown([p = parts_.get()] {
    p->commands_ended = true;
    p->OnPartEnded();
  });
}

void Daemon::Parts::OnPartEnded() {
  if (!recordings_ended || !commands_ended) return;
  events->Close();
  server->Drain([this] { OnDrained(); });
}

void Daemon::Parts::OnDrained() {
  if (shutdown_done) std::exchange(shutdown_done, nullptr)();
}

}  // namespace kine
