// kinectl: records the desktop through the kinescope daemon. Talks to nothing
// but the daemon's socket.
#include <sys/signalfd.h>

#include <csignal>
#include <cstdio>

#include "absl/status/statusor.h"
#include "daemon/base/fd.h"
#include "tools/kinectl/args.h"
#include "tools/kinectl/session.h"
#include "tools/kinectl/verbs.h"

namespace {

using kinectl::AllVerbs;
using kinectl::GlobalFlags;

// Signals become readable on a descriptor, which cancels the client's waits.
kine::UniqueFd TakeOverSignals() {
  std::signal(SIGPIPE, SIG_IGN);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  return kine::UniqueFd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

}  // namespace

int main(int argc, char** argv) {
  const absl::StatusOr<kinectl::CommandLine> line = kinectl::ParseCommandLine(
      AllVerbs(), GlobalFlags(),
      std::span<const char* const>(argv + 1, static_cast<size_t>(argc - 1)));
  if (!line.ok()) {
    std::fprintf(stderr, "kinectl: %s\n",
                 std::string(line.status().message()).c_str());
    return kinectl::kUsage;
  }
  const kinectl::Args& args = line->args;
  if (args.Has("help")) {
    std::fputs(
        (line->verb == nullptr ? kinectl::ProgramHelp(AllVerbs(), GlobalFlags())
                               : kinectl::VerbHelp(*line->verb, GlobalFlags()))
            .c_str(),
        stdout);
    return kinectl::kDone;
  }
  if (args.Has("version")) {
    std::puts("kinectl " KINESCOPE_VERSION);
    return kinectl::kDone;
  }
  const kine::UniqueFd signals = TakeOverSignals();
  kine::Client::Options options;
  if (args.Has("socket")) options.socket_path = args.Get("socket");
  options.owner = args.Get("owner");
  options.cancel_fd = signals.get();
  kinectl::Session session(std::move(options), signals.get(), args);
  return line->verb->run(session, args);
}
