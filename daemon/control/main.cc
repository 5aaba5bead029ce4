// kinescoped: records desktops for the agents that work in them.
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>

#include "absl/debugging/failure_signal_handler.h"
#include "absl/debugging/symbolize.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/flags/usage_config.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/epoll_loop.h"
#include "daemon/base/log.h"
#include "daemon/base/status.h"
#include "daemon/control/daemon.h"

namespace kine {
namespace {

void SetUpFlags() {
  absl::SetProgramUsageMessage(
      "records desktops, driven over a Unix socket; see kinectl --help\n"
      "usage: kinescoped [--socket=PATH] [--state_dir=DIR] [--flagfile=FILE]");
  absl::FlagsUsageConfig config;
  config.version_string = [] {
    return std::string("kinescoped " KINESCOPE_VERSION "\n");
  };
  config.contains_help_flags =
      config.contains_helpshort_flags = [](absl::string_view file) {
        return absl::EndsWith(file, "control/options.cc");
      };
  absl::SetFlagsUsageConfig(config);
}

// Blocked before the first thread is made, so that every thread has them
// blocked and the descriptor gets them.
absl::StatusOr<UniqueFd> BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  // For ProcessTable, which has its own descriptor for it.
  sigaddset(&signals, SIGCHLD);
  if (::pthread_sigmask(SIG_BLOCK, &signals, nullptr) != 0)
    return ErrnoStatus(errno, "pthread_sigmask");
  sigdelset(&signals, SIGCHLD);
  UniqueFd fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) return ErrnoStatus(errno, "signalfd");
  return fd;
}

absl::Status Run(const Options& options, const UniqueFd& signals) {
  KINE_ASSIGN_OR_RETURN(std::unique_ptr<EpollLoop> loop, EpollLoop::Create());
  KINE_ASSIGN_OR_RETURN(std::unique_ptr<Daemon> daemon,
                        Daemon::Create(options, *loop));
  bool stopping = false;
  LoopHandle watch(*loop, loop->Watch(signals.get(), EPOLLIN, [&](uint32_t) {
    signalfd_siginfo info;
    if (::read(signals.get(), &info, sizeof info) !=
        static_cast<ssize_t>(sizeof info))
      return;
    if (stopping) {
      // Asked twice: now. Recorders see their links close and end.
      LogWarning(
          "second signal, ending at once; unfinished recordings "
          "will be recovered at the next start");
      loop->Quit();
      return;
    }
    stopping = true;
    LogInfo(absl::StrCat("stopping: ",
                         ::strsignal(static_cast<int>(info.ssi_signo))));
    sd_notify(0, "STOPPING=1");
    daemon->Shutdown([&loop] { loop->Quit(); });
  }));
  sd_notify(0, "READY=1");
  LogInfo(absl::StrCat("ready: socket ", daemon->socket_name()));
  loop->Run();
  watch.Cancel();
  daemon.reset();
  return absl::OkStatus();
}

}  // namespace
}  // namespace kine

int main(int argc, char** argv) {
  absl::InitializeSymbolizer(argv[0]);
  absl::InstallFailureSignalHandler(absl::FailureSignalHandlerOptions());
  kine::SetUpFlags();
  const std::vector<char*> rest = absl::ParseCommandLine(argc, argv);
  if (rest.size() > 1) {
    std::fprintf(stderr, "kinescoped: unexpected argument '%s'\n", rest[1]);
    return 2;
  }
  absl::StatusOr<kine::Options> options = kine::ReadOptions();
  if (!options.ok()) {
    std::fprintf(stderr, "kinescoped: %s\n",
                 std::string(options.status().message()).c_str());
    return 2;
  }
  absl::StatusOr<kine::UniqueFd> signals = kine::BlockSignals();
  const absl::Status status =
      signals.ok() ? kine::Run(*options, *signals) : signals.status();
  if (status.ok()) return 0;
  kine::LogError(std::string(status.message()));
  return 1;
}
