#include "daemon/storage/file_lock.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "daemon/base/clock.h"
#include "daemon/base/fd.h"
#include "daemon/base/limits.h"
#include "daemon/base/status.h"
#include "daemon/storage/directory.h"

// glibc 2.36 forgets that C++ may include it.
extern "C" {
#include <sys/pidfd.h>
}

namespace kine {
namespace {

int Lock(int fd, int command) {
  struct flock whole {};  // From 0 to the end, wherever that will be.
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  return ::fcntl(fd, command, &whole) == 0 ? 0 : errno;
}

bool Held(int error) { return error == EAGAIN || error == EACCES; }

absl::Status HeldStatus() {
  return absl::UnavailableError("another process holds the lock");
}

// Sends SIGRTMAX to this thread from `wait` on, again and again: the first may
// come before fcntl() sleeps.
absl::StatusOr<timer_t> StartAlarm(absl::Duration wait) {
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = SIGRTMAX;
  event._sigev_un._tid = ::gettid();
  timer_t timer;
  if (::timer_create(CLOCK_MONOTONIC, &event, &timer) != 0)
    return ErrnoStatus(errno, "timer_create");
  itimerspec when{};
  // 0 would disarm it.
  when.it_value =
      absl::ToTimespec(std::max(wait, absl::DurationFromTimespec({0, 1})));
  when.it_interval = absl::ToTimespec(absl::Milliseconds(10));
  if (::timer_settime(timer, 0, &when, nullptr) != 0) {
    const int error = errno;
    ::timer_delete(timer);
    return ErrnoStatus(error, "timer_settime");
  }
  return timer;
}

// True when descriptor `number` of `process` (/proc/PID) is the file and
// carries an OFD write lock.
bool HoldsLock(int process, const std::string& number,
               const struct stat& file) {
  struct stat info;
  if (::fstatat(process, absl::StrCat("fd/", number).c_str(), &info, 0) != 0 ||
      info.st_dev != file.st_dev || info.st_ino != file.st_ino)
    return false;
  const UniqueFd fd(::openat(process, absl::StrCat("fdinfo/", number).c_str(),
                             O_RDONLY | O_CLOEXEC));
  char text[2048];
  const ssize_t n = fd.valid() ? ::read(fd.get(), text, sizeof text) : -1;
  if (n <= 0) return false;
  for (absl::string_view line :
       absl::StrSplit(absl::string_view(text, static_cast<size_t>(n)), '\n')) {
    if (line.find("OFDLCK") != absl::string_view::npos &&
        line.find("WRITE") != absl::string_view::npos)
      return true;
  }
  return false;
}

}  // namespace

absl::Status TryLockFile(int fd) {
  const int error = Lock(fd, F_OFD_SETLK);
  if (error == 0) return absl::OkStatus();
  return Held(error) ? HeldStatus() : ErrnoStatus(error, "fcntl(F_OFD_SETLK)");
}

absl::Status LockFileFor(int fd, absl::Duration wait) {
  absl::Status at_once = TryLockFile(fd);
  if (!absl::IsUnavailable(at_once)) return at_once;
  const MonoTime deadline = SystemClock().Now() + wait;
  struct sigaction interrupt {};
  interrupt.sa_handler = [](int) {};  // Not ignored: fcntl() must return.
  struct sigaction old_action;
  if (::sigaction(SIGRTMAX, &interrupt, &old_action) != 0)
    return ErrnoStatus(errno, "sigaction");
  sigset_t set, old_set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMAX);
  pthread_sigmask(SIG_UNBLOCK, &set, &old_set);
  absl::Cleanup restore = [&] {
    pthread_sigmask(SIG_SETMASK, &old_set, nullptr);
    (void)::sigaction(SIGRTMAX, &old_action, nullptr);  // It was valid.
  };
  KINE_ASSIGN_OR_RETURN(const timer_t timer, StartAlarm(wait));
  absl::Cleanup stop = [timer] { ::timer_delete(timer); };
  int error;
  do {
    error = Lock(fd, F_OFD_SETLKW);
  } while (error == EINTR && SystemClock().Now() < deadline);
  if (error == 0) return absl::OkStatus();
  return error == EINTR ? HeldStatus()
                        : ErrnoStatus(error, "fcntl(F_OFD_SETLKW)");
}

absl::StatusOr<pid_t> FindLockHolder(int fd) {
  struct stat file;
  if (::fstat(fd, &file) != 0) return ErrnoStatus(errno, "fstat");
  const UniqueFd proc(::open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!proc.valid()) return ErrnoStatus(errno, "open of /proc");
  KINE_ASSIGN_OR_RETURN(const auto processes, ListDirectory(proc.get()));
  for (const std::string& name : processes) {
    pid_t pid = 0;
    if (!absl::SimpleAtoi(name, &pid) || pid == ::getpid()) continue;
    // Processes end at any moment here, and others' are closed to us.
    const UniqueFd process(
        ::openat(proc.get(), name.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    const UniqueFd fds(
        ::openat(process.get(), "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fds.valid()) continue;
    const auto numbers = ListDirectory(fds.get());
    if (!numbers.ok()) continue;
    for (const std::string& number : *numbers) {
      if (HoldsLock(process.get(), number, file)) return pid;
    }
  }
  return absl::NotFoundError("no process shows that holds the lock");
}

absl::Status LockFileOrKillHolder(int fd, absl::Duration wait) {
  absl::Status waited = LockFileFor(fd, wait);
  if (!absl::IsUnavailable(waited)) return waited;
  KINE_ASSIGN_OR_RETURN(const pid_t holder, FindLockHolder(fd));
  const UniqueFd pidfd(::pidfd_open(holder, 0));
  if (!pidfd.valid() && errno != ESRCH) return ErrnoStatus(errno, "pidfd_open");
  if (pidfd.valid()) {
    // Looked up again, so that the pidfd is the holder's and not that of a
    // process which got its number in between.
    const auto again = FindLockHolder(fd);
    if (again.ok() && *again == holder) {
      if (::pidfd_send_signal(pidfd.get(), SIGKILL, nullptr, 0) != 0 &&
          errno != ESRCH)
        return ErrnoStatus(errno, "kill of the lock's holder");
      pollfd ended{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
      (void)::poll(&ended, 1,
                   static_cast<int>(absl::ToInt64Milliseconds(wait)));
    }
  }
  return LockFileFor(fd, wait);
}

}  // namespace kine
