#include "daemon/storage/uring_probe.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/fd.h"
#include "daemon/base/limits.h"
#include "daemon/base/status.h"
#include "daemon/programs/run_to_end.h"

namespace kine {
namespace {

const char* NameOf(UringProbeStage stage) {
  switch (stage) {
    case UringProbeStage::kPrepare:
      return "preparing";
    case UringProbeStage::kWrite:
      return "writing";
    case UringProbeStage::kSync:
      return "syncing";
    case UringProbeStage::kReserve:
      return "reserving space";
    case UringProbeStage::kReadBack:
      return "reading back";
    case UringProbeStage::kDemoted:
      return "submitting";
  }
  return "an unknown step";
}

UringProbe Unusable(std::string reason) { return {false, std::move(reason)}; }

UringProbe Verdict(const ExitStatus& exit) {
  if (exit.signaled) {
    return Unusable(absl::StrCat(
        "the probe of io_uring was killed by ", ExitText(exit),
        ": a seccomp profile answers io_uring_setup so; allow io_uring_setup, "
        "io_uring_enter and io_uring_register, or start with "
        "--file_io=thread"));
  }
  const int code = exit.code;
  if (code == 0)
    return {true, "io_uring works here (probed in a child process)"};
  if (code == kUringProbeExecFailed)
    return Unusable("the probe of io_uring could not be started");
  if (code > kUringProbeStageBase) {
    return Unusable(absl::StrCat(
        "io_uring was set up, but ",
        NameOf(static_cast<UringProbeStage>(code - kUringProbeStageBase)),
        " through it failed"));
  }
  return Unusable(
      std::string(ErrnoStatus(code, UringErrorText(code)).message()));
}

// The value of kernel.io_uring_disabled; 0 on kernels that have no such thing.
int UringDisabledSysctl() {
  const UniqueFd fd(
      ::open("/proc/sys/kernel/io_uring_disabled", O_RDONLY | O_CLOEXEC));
  char digit = '0';
  if (!fd.valid() || ::read(fd.get(), &digit, 1) != 1) return 0;
  return digit - '0';
}

}  // namespace

UringProbe RunUringProbe(const std::string& executable) {
  if (UringDisabledSysctl() >= 2) {
    return Unusable(absl::StrCat(UringErrorText(EPERM),
                                 ": the sysctl kernel.io_uring_disabled is 2"));
  }
  ProgramCommand command;
  command.path = executable;
  command.argv = {executable, "--probe_io"};
  const auto run =
      RunToEnd(std::move(command),
               {.deadline = absl::Milliseconds(limits::kUringProbeMs)});
  if (!run.ok()) {
    return Unusable(absl::StrCat("the probe of io_uring could not be started: ",
                                 run.status().message()));
  }
  if (run->hung) {
    return Unusable(absl::StrCat("the probe of io_uring did not end within ",
                                 limits::kUringProbeMs, " ms"));
  }
  return Verdict(run->exit);
}

const UringProbe& UringProbeOnce(const std::string& executable) {
  static const UringProbe* const kProbe =
      new UringProbe(RunUringProbe(executable));
  return *kProbe;
}

std::string UringErrorText(int error) {
  const char* hint = "unexpected; start with --file_io=thread";
  switch (error) {
    case EPERM:
    case EACCES:
      hint =
          "the container runtime's seccomp profile or the sysctl "
          "kernel.io_uring_disabled forbids it; allow io_uring_setup, "
          "io_uring_enter and io_uring_register, or start with "
          "--file_io=thread";
      break;
    case ENOSYS:
      hint =
          "the kernel is built without it, or the container runtime's seccomp "
          "profile hides it; start with --file_io=thread";
      break;
    case ENOMEM:
      hint =
          "the limit of locked memory is too low (ulimit -l, LimitMEMLOCK=); "
          "raise it, or start with --file_io=thread";
      break;
    case EINVAL:
    case EOPNOTSUPP:
      hint =
          "the kernel's is too old, 5.10 is the first that will do; start "
          "with --file_io=thread";
      break;
    default:
      break;
  }
  return absl::StrCat("cannot set up io_uring for file writes (", hint, ")");
}

}  // namespace kine
