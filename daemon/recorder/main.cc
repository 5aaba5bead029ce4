// kinescope-recorder: captures one source, encodes it and writes its files.
//
//   kinescope-recorder                       descriptor 3 is the link to
//                                            kinescoped (SOCK_SEQPACKET)
//   kinescope-recorder --finalise --id=ID    descriptor 3 is the directory
//   kinescope-recorder --view=VIEW           descriptor 3 is the directory, 4
//                                            takes the head
//   kinescope-recorder --cursor=FORM         likewise, the cursor file
//   kinescope-recorder --screenshot=REQUEST  descriptor 3 takes the PNG
//   kinescope-recorder --digest --bytes=N    descriptor 3 is a file
//   kinescope-recorder --list_sources
//   kinescope-recorder --describe
//   kinescope-recorder --probe_io            exit code: is io_uring usable
//   kinescope-recorder --self_test           does every encoder do what it says
//
// Not for people: kinescoped runs it. It needs no path: recordings arrive as
// directory descriptors. When the link closes, and on SIGTERM and SIGINT, it
// closes and syncs the open fragments, finalises nothing, and is gone within
// limits::kRecorderExitMs.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/strings/str_cat.h"
#include "capture/create_source.h"
#include "daemon/base/epoll_loop.h"
#include "daemon/base/fd.h"
#include "daemon/base/limits.h"
#include "daemon/base/log.h"
#include "daemon/base/loop_thread.h"
#include "daemon/base/status.h"
#include "daemon/doctor/doctor_limits.h"
#include "daemon/programs/find_program.h"
#include "daemon/recorder/one_shot_modes.h"
#include "daemon/recorder/recorder.h"
#include "daemon/recorder/source_spec.h"
#include "daemon/selftest/self_test.h"
#include "daemon/storage/create_file_io.h"
#include "daemon/storage/free_space.h"
#include "daemon/storage/uring_probe.h"
#include "encode/create_encoder.h"

ABSL_FLAG(bool, finalise, false, "finish the recording in descriptor 3");
ABSL_FLAG(std::string, screenshot, "", "a picture of this request's source");
ABSL_FLAG(int, width, 0, "with --screenshot: scaled to it");
ABSL_FLAG(int, height, 0, "with --screenshot: scaled to it");
ABSL_FLAG(bool, digest, false, "print the SHA-256 of descriptor 3");
ABSL_FLAG(uint64_t, bytes, 0, "with --digest: of so many bytes");
ABSL_FLAG(bool, list_sources, false, "print what could be captured");
ABSL_FLAG(bool, describe, false, "print what this recorder can do");
ABSL_FLAG(bool, probe_io, false, "try io_uring and exit");
ABSL_FLAG(bool, self_test, false, "test every encoder and print the report");
ABSL_FLAG(std::string, self_test_device, "",
          "test one: software, or a render node");
ABSL_FLAG(absl::Duration, self_test_limit,
          absl::Milliseconds(kine::limits::kSelfTestDeviceMs),
          "with --self_test: what each device may take");
ABSL_FLAG(std::string, id, "", "with --finalise: the recording's id");
ABSL_FLAG(bool, each_synced, false,
          "with --finalise: each fragment was durable before the next");
ABSL_FLAG(uint64_t, max_bytes, UINT64_MAX,
          "with --finalise: of the finished file");
ABSL_FLAG(std::string, cursor, "",
          "ndjson or cap: the cursor file in that form");
ABSL_FLAG(std::string, view, "", "realtime or compact: build its head");
ABSL_FLAG(int64_t, compact_after_ms, 0, "stillness before time runs faster");
ABSL_FLAG(int, compact_speed, 1, "how much faster; 1: not at all");
ABSL_FLAG(int64_t, recorded_us, 0,
          "with --view: the file is compact itself and was recorded so long");
ABSL_FLAG(std::string, file_io, "thread",
          "uring or thread: what kinescoped found to work here");
ABSL_FLAG(std::string, file_io_reason, "--file_io", "why that one");
ABSL_FLAG(std::string, render_node, "",
          "the device of the hardware encoder, and no other");

namespace kine {
namespace {

int Print(const std::string& json) {
  if (std::fwrite(json.data(), 1, json.size(), stdout) != json.size() ||
      std::fflush(stdout) != 0) {
    LogError("kinescope-recorder: cannot write the answer");
    return 1;
  }
  return 0;
}

int Fail(const absl::Status& status) {
  LogError(absl::StrCat("kinescope-recorder: ", status.message()));
  return 1;
}

absl::Status CheckLink() {
  int type = 0;
  socklen_t size = sizeof type;
  if (::getsockopt(kLinkDescriptor, SOL_SOCKET, SO_TYPE, &type, &size) != 0)
    return ErrnoStatus(errno, "descriptor 3 is no link to kinescoped");
  if (type != SOCK_SEQPACKET)
    return absl::InvalidArgumentError(
        "descriptor 3 is no link to kinescoped: not SOCK_SEQPACKET");
  return absl::OkStatus();
}

// Blocked in every thread that starts after this; read from the descriptor.
absl::StatusOr<UniqueFd> TakeSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  if (::pthread_sigmask(SIG_BLOCK, &set, nullptr) != 0)
    return absl::InternalError("pthread_sigmask");
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &ignore, nullptr);
  UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) return ErrnoStatus(errno, "signalfd");
  return fd;
}

// Ends the process even when a driver or a disk never lets go of a thread.
void ExitSoon() {
  itimerval timer{};
  timer.it_value.tv_usec = 1'000 * (limits::kRecorderExitMs - 50);
  ::setitimer(ITIMER_REAL, &timer, nullptr);
}

void ExitHung() {
  LogError(absl::StrCat("kinescope-recorder: the encoder has not answered for ",
                        limits::kEncodeSilentMs / 1'000,
                        " s: a driver hangs; giving up"));
  // Nothing that waits for that thread may run.
  ::_exit(link::kExitEncoderHung);
}

struct Io {
  std::unique_ptr<FileIo> file_io;
  std::string name;
  std::string reason;
};

// kinescoped has probed; where io_uring does not work here after all, the
// thread does.
absl::StatusOr<Io> OpenFileIo(EpollLoop& loop) {
  KINE_ASSIGN_OR_RETURN(const FileIoChoice choice,
                        ParseFileIoChoice(absl::GetFlag(FLAGS_file_io)));
  std::string reason = absl::GetFlag(FLAGS_file_io_reason);
  UringProbe probe;
  probe.usable = choice != FileIoChoice::kThread;
  probe.reason = reason;
  const FileIoChoice tried =
      probe.usable ? FileIoChoice::kAuto : FileIoChoice::kThread;
  KINE_ASSIGN_OR_RETURN(
      ChosenFileIo chosen,
      CreateFileIo(tried, probe, loop, [](absl::Status status) {
        LogWarning(
            absl::StrCat("file_io: io_uring was refused, writing on the "
                         "thread from now on: ",
                         status.message()));
      }));
  const bool as_told = (chosen.name == "uring") == probe.usable;
  return Io{std::move(chosen.file_io), std::string(chosen.name),
            as_told ? std::move(reason) : std::move(chosen.reason)};
}

absl::Status RunRecorder() {
  KINE_RETURN_IF_ERROR(CheckLink());
  UniqueFd link(kLinkDescriptor);
  KINE_ASSIGN_OR_RETURN(const UniqueFd signals, TakeSignals());
  KINE_ASSIGN_OR_RETURN(const std::unique_ptr<EpollLoop> loop,
                        EpollLoop::Create());
  KINE_ASSIGN_OR_RETURN(Io io, OpenFileIo(*loop));
  KINE_ASSIGN_OR_RETURN(const std::unique_ptr<LoopThread> source,
                        LoopThread::Start("kine-source"));
  KINE_ASSIGN_OR_RETURN(const std::unique_ptr<LoopThread> encode,
                        LoopThread::Start("kine-encode"));
  KINE_ASSIGN_OR_RETURN(const std::unique_ptr<LoopThread> pictures,
                        LoopThread::Start("kine-pictures"));

  const Recorder::Environment environment{
      {*loop, source->loop(), encode->loop()},
      pictures->loop(),
      *io.file_io,
      &CheckFreeSpace};
  absl::Status why;
  auto recorder = std::make_unique<Recorder>(
      environment, std::move(link), DescribeRecorder(io.name, io.reason),
      CaptureFactories{&CreateSource,
                       [node = absl::GetFlag(FLAGS_render_node)](
                           EncoderChoice choice, const EncoderConfig& config) {
                         return CreateEncoder(choice, config, node);
                       }},
      [&](absl::Status status) {
        why = std::move(status);
        loop->Quit();
      });
  LoopHandle watch(*loop, loop->Watch(signals.get(), EPOLLIN, [&](uint32_t) {
    signalfd_siginfo info;
    (void)!::read(signals.get(), &info, sizeof info);
    recorder->Quit();
  }));
  recorder->set_on_ending(&ExitSoon);
  recorder->set_on_hung(&ExitHung);
  loop->Run();
  return why;
}

int SelfTest() {
  const auto self = FindProgram("kinescope-recorder");
  if (!self.ok()) return Fail(self.status());
  return Print(ToJson(RunSelfTest(*self, absl::GetFlag(FLAGS_render_node),
                                  absl::GetFlag(FLAGS_self_test_limit))));
}

int Main(int argc, char** argv) {
  absl::SetProgramUsageMessage(
      "captures, encodes and writes; started by kinescoped");
  absl::ParseCommandLine(argc, argv);
  // Whatever this process runs into, it gains no rights by it.
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (absl::GetFlag(FLAGS_probe_io)) return ProbeUringMain();
  if (absl::GetFlag(FLAGS_list_sources)) return Print(ListSourcesJson());
  if (absl::GetFlag(FLAGS_digest))
    return Print(DigestJson(kDirectoryDescriptor, absl::GetFlag(FLAGS_bytes)));
  if (const std::string shot = absl::GetFlag(FLAGS_screenshot); !shot.empty())
    return Print(ScreenshotJson(kDirectoryDescriptor, shot,
                                absl::GetFlag(FLAGS_width),
                                absl::GetFlag(FLAGS_height)));
  const std::string device = absl::GetFlag(FLAGS_self_test_device);
  if (absl::GetFlag(FLAGS_self_test) || !device.empty()) {
    // A driver that hangs must not outlive whoever wanted to know.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    return device.empty() ? SelfTest() : SelfTestDeviceMain(device);
  }
  if (absl::GetFlag(FLAGS_describe)) {
    link::Hello hello = DescribeRecorder(absl::GetFlag(FLAGS_file_io),
                                         absl::GetFlag(FLAGS_file_io_reason));
    AddEncoders(absl::GetFlag(FLAGS_render_node), hello);
    return Print(link::ToJson(link::ToDaemon(std::move(hello))));
  }
  const mp4::CompactRule rule =
      ToCompactRule(absl::GetFlag(FLAGS_compact_after_ms),
                    absl::GetFlag(FLAGS_compact_speed));
  if (absl::GetFlag(FLAGS_finalise)) {
    FinaliseTrust trust;
    trust.each_synced = absl::GetFlag(FLAGS_each_synced);
    return Print(link::ToJson(link::ToDaemon(
        FinaliseDirectory(kDirectoryDescriptor, absl::GetFlag(FLAGS_id), trust,
                          absl::GetFlag(FLAGS_max_bytes), rule))));
  }
  const std::string view = absl::GetFlag(FLAGS_view);
  const mp4::CompactRule view_rule =
      view == "compact" ? rule : mp4::CompactRule();
  if (const std::string form = absl::GetFlag(FLAGS_cursor); !form.empty())
    return Print(CursorFormJson(kDirectoryDescriptor, kViewDescriptor, form,
                                view_rule, absl::GetFlag(FLAGS_recorded_us)));
  if (!view.empty()) {
    return Print(link::ToJson(link::ToDaemon(
        BuildView(kDirectoryDescriptor, kViewDescriptor, view_rule,
                  absl::GetFlag(FLAGS_recorded_us)))));
  }
  const absl::Status status = RunRecorder();
  return status.ok() ? 0 : Fail(status);
}

}  // namespace
}  // namespace kine

int main(int argc, char** argv) { return kine::Main(argc, argv); }
