#include "daemon/storage/uring_probe.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/epoll_loop.h"
#include "daemon/base/fd.h"
#include "daemon/base/limits.h"
#include "daemon/base/status.h"
#include "daemon/storage/blocking_io.h"
#include "daemon/storage/uring_file_io.h"

// glibc 2.36 forgets that C++ may include it.
extern "C" {
#include <sys/pidfd.h>
}

namespace kine {
namespace {

// Exit codes: 0 works, below kStageBase the errno of the set-up, else the
// stage that failed after it. 127 is a program that could not be started.
constexpr int kExecFailed = 127;
constexpr int kStageBase = 200;
enum class Stage { kPrepare, kWrite, kSync, kReserve, kReadBack, kDemoted };

const char* NameOf(Stage stage) {
  switch (stage) {
    case Stage::kPrepare:
      return "preparing";
    case Stage::kWrite:
      return "writing";
    case Stage::kSync:
      return "syncing";
    case Stage::kReserve:
      return "reserving space";
    case Stage::kReadBack:
      return "reading back";
    case Stage::kDemoted:
      return "submitting";
  }
  return "an unknown step";
}

// Write, sync, reserve; each waits for its completion through the loop, so the
// eventfd is tried as well. Quits the loop in the end.
class Trial {
 public:
  Trial(EpollLoop& loop, FileIo& file_io, int fd)
      : loop_(loop), file_io_(file_io), fd_(fd) {}

  void Start() {
    file_io_.WriteAt(fd_, 0, std::vector<std::byte>(4096, std::byte{0x5a}),
                     [this](absl::Status status) {
                       if (Passed(Stage::kWrite, status)) Sync();
                     });
  }
  void Fail(Stage stage) {
    exit_code_ = kStageBase + static_cast<int>(stage);
    loop_.Quit();
  }
  int exit_code() const { return exit_code_; }

 private:
  void Sync() {
    file_io_.Sync(fd_, [this](absl::Status status) {
      if (Passed(Stage::kSync, status)) Reserve();
    });
  }
  void Reserve() {
    file_io_.Reserve(fd_, 4096, 4096, [this](absl::Status status) {
      // Whether the file system can is another question.
      if (!absl::IsUnimplemented(status) && !Passed(Stage::kReserve, status))
        return;
      std::byte last{};
      const auto n = ReadFully(fd_, 4095, std::span(&last, 1));
      if (!n.ok() || *n != 1 || last != std::byte{0x5a})
        return Fail(Stage::kReadBack);
      loop_.Quit();
    });
  }
  bool Passed(Stage stage, const absl::Status& status) {
    if (!status.ok()) Fail(stage);
    return status.ok();
  }

  EpollLoop& loop_;
  FileIo& file_io_;
  const int fd_;
  int exit_code_ = 0;
};

UringProbe Unusable(std::string reason) { return {false, std::move(reason)}; }

UringProbe Verdict(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    return Unusable(absl::StrCat(
        "the probe of io_uring was killed by signal ", WTERMSIG(wait_status),
        " (", strsignal(WTERMSIG(wait_status)),
        "): a seccomp profile answers io_uring_setup so; allow io_uring_setup, "
        "io_uring_enter and io_uring_register, or start with "
        "--file_io=thread"));
  }
  const int code = WEXITSTATUS(wait_status);
  if (code == 0)
    return {true, "io_uring works here (probed in a child process)"};
  if (code == kExecFailed)
    return Unusable("the probe of io_uring could not be started");
  if (code > kStageBase) {
    return Unusable(absl::StrCat("io_uring was set up, but ",
                                 NameOf(static_cast<Stage>(code - kStageBase)),
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

// Starts the child with nothing open but /dev/null. Returns an errno.
int Spawn(const std::string& executable, pid_t* pid) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  std::string name = executable;
  std::string flag = "--probe_io";
  char* argv[] = {name.data(), flag.data(), nullptr};
  const int error = ::posix_spawn(pid, executable.c_str(), &actions,
                                  &attributes, argv, environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return error;
}

}  // namespace

int ProbeUringMain() {
  constexpr int kPrepareFailed = kStageBase + static_cast<int>(Stage::kPrepare);
  const UniqueFd fd(::memfd_create("kinescope-probe", MFD_CLOEXEC));
  if (!fd.valid()) return kPrepareFailed;
  auto loop = EpollLoop::Create();
  if (!loop.ok()) return kPrepareFailed;
  std::unique_ptr<Trial> trial;
  auto file_io = UringFileIo::Create(
      **loop, [&trial](absl::Status) { trial->Fail(Stage::kDemoted); });
  if (!file_io.ok()) {
    const int error = ErrnoOf(file_io.status());
    return error > 0 && error < kExecFailed ? error : kPrepareFailed;
  }
  trial = std::make_unique<Trial>(**loop, **file_io, fd.get());
  trial->Start();
  (*loop)->Run();
  return trial->exit_code();
}

UringProbe RunUringProbe(const std::string& executable) {
  if (UringDisabledSysctl() >= 2) {
    return Unusable(absl::StrCat(UringErrorText(EPERM),
                                 ": the sysctl kernel.io_uring_disabled is 2"));
  }
  pid_t pid = -1;
  const int error = Spawn(executable, &pid);
  if (error != 0) {
    return Unusable(std::string(
        ErrnoStatus(error, "the probe of io_uring could not be started")
            .message()));
  }
  // Without a pidfd the child cannot be waited for in bounded time.
  const UniqueFd pidfd(::pidfd_open(pid, 0));
  pollfd ended{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
  int ready = 0;
  if (pidfd.valid()) {
    do {
      ready = ::poll(&ended, 1, limits::kUringProbeMs);
    } while (ready < 0 && errno == EINTR);
  }
  if (ready <= 0) ::kill(pid, SIGKILL);
  int wait_status = 0;
  pid_t waited;
  do {
    waited = ::waitpid(pid, &wait_status, 0);
  } while (waited < 0 && errno == EINTR);
  if (ready <= 0) {
    return Unusable(absl::StrCat("the probe of io_uring did not end within ",
                                 limits::kUringProbeMs, " ms"));
  }
  if (waited != pid)
    return Unusable("the probe of io_uring left no exit status");
  return Verdict(wait_status);
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
