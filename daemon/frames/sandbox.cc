#include "daemon/frames/sandbox.h"

#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>

#include <cerrno>
#include <memory>

#include "daemon/base/status.h"

namespace kine::frames {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitizer = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool kSanitizer = true;
#else
constexpr bool kSanitizer = false;
#endif
#else
constexpr bool kSanitizer = false;
#endif

absl::Status Limit(int resource, rlim_t value, absl::string_view what) {
  const rlimit limit{value, value};
  if (::setrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0)
    return ErrnoStatus(errno, what);
  return absl::OkStatus();
}

absl::Status LimitTime(absl::Duration time) {
  const itimerval timer{{0, 0}, absl::ToTimeval(time)};
  if (::setitimer(ITIMER_REAL, &timer, nullptr) != 0)
    return ErrnoStatus(errno, "setitimer");
  return absl::OkStatus();
}

// What a single-threaded decoder calls. Memory may become writable or
// executable, never by our doing the latter.
absl::Status AllowOnlyTheNeeded() {
  const std::unique_ptr<void, void (*)(scmp_filter_ctx)> filter(
      seccomp_init(SCMP_ACT_ERRNO(EPERM)), seccomp_release);
  if (filter == nullptr) return absl::InternalError("seccomp_init");
  constexpr int kAllowed[] = {
      SCMP_SYS(read),           SCMP_SYS(pread64),
      SCMP_SYS(write),          SCMP_SYS(writev),
      SCMP_SYS(lseek),          SCMP_SYS(fstat),
      SCMP_SYS(newfstatat),     SCMP_SYS(close),
      SCMP_SYS(munmap),         SCMP_SYS(mremap),
      SCMP_SYS(madvise),        SCMP_SYS(brk),
      SCMP_SYS(futex),          SCMP_SYS(rt_sigreturn),
      SCMP_SYS(exit),           SCMP_SYS(exit_group),
      SCMP_SYS(clock_gettime),  SCMP_SYS(gettimeofday),
      SCMP_SYS(sched_yield),    SCMP_SYS(getrandom),
      SCMP_SYS(rt_sigprocmask), SCMP_SYS(restart_syscall)};
  int error = 0;
  for (const int call : kAllowed)
    error = error != 0
                ? error
                : seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 0);
  // The third argument, protection, without PROT_EXEC.
  const scmp_arg_cmp no_exec{2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0};
  for (const int call : {SCMP_SYS(mmap), SCMP_SYS(mprotect)})
    error = error != 0 ? error
                       : seccomp_rule_add_array(filter.get(), SCMP_ACT_ALLOW,
                                                call, 1, &no_exec);
  if (error == 0) error = seccomp_load(filter.get());
  if (error != 0) return ErrnoStatus(-error, "seccomp");
  return absl::OkStatus();
}

}  // namespace

absl::Status EnterSandbox(const SandboxLimits& limits) {
  KINE_RETURN_IF_ERROR(LimitTime(limits.time));
  if (kSanitizer) return absl::OkStatus();
  const auto seconds = static_cast<rlim_t>(
      absl::ToInt64Seconds(absl::Ceil(limits.time, absl::Seconds(1))));
  KINE_RETURN_IF_ERROR(Limit(RLIMIT_CPU, seconds, "RLIMIT_CPU"));
  KINE_RETURN_IF_ERROR(Limit(RLIMIT_AS, limits.memory_bytes, "RLIMIT_AS"));
  KINE_RETURN_IF_ERROR(
      Limit(RLIMIT_FSIZE, limits.output_bytes, "RLIMIT_FSIZE"));
  KINE_RETURN_IF_ERROR(Limit(RLIMIT_CORE, 0, "RLIMIT_CORE"));
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return ErrnoStatus(errno, "no_new_privs");
  return AllowOnlyTheNeeded();
}

}  // namespace kine::frames
