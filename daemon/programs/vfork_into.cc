#include "daemon/programs/vfork_into.h"

#include <linux/sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

#include "daemon/base/status.h"

// The child runs in this process' memory, as this thread: what the sanitizers
// would note down of it would be noted of the thread, which is elsewhere.
#define KINE_IN_CHILD \
  __attribute__((no_sanitize("address", "thread"), noinline))

namespace kine {
namespace {

// The kernel's sigaction and sigset_t, not the C library's: its own two signals
// are to be reset, too.
struct KernelAction {
  void* handler;
  uint64_t flags;
  void* restorer;
  uint64_t mask;
};
constexpr int kSignalMax = 64;
constexpr int kExitFailed = 127;
// Of the child: a frame, and system calls.
constexpr size_t kStackBytes = 16u << 10;

struct Child {
  const VforkPlan* plan;
  // Written by the child, read by the caller once it is gone.
  const char* failed = nullptr;
  int error = 0;
};

// Returns the mask that was set before. glibc's would leave out its own
// signals.
KINE_IN_CHILD uint64_t SetMask(uint64_t mask) {
  uint64_t before = 0;
  (void)::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, &before, sizeof mask);
  return before;
}

// Only system calls: whatever the C library would do here, it would do to the
// caller.
KINE_IN_CHILD int RunChild(void* argument) {
  Child& child = *static_cast<Child*>(argument);
  const VforkPlan& plan = *child.plan;
  const KernelAction none{};
  // Fails for KILL and STOP, which nobody can change.
  for (int number = 1; number <= kSignalMax; ++number)
    (void)::syscall(SYS_rt_sigaction, number, &none, nullptr, sizeof none.mask);
  const auto fail = [&child](const char* what) {
    child.error = errno;
    child.failed = what;
    return kExitFailed;
  };
  if (plan.own_session) {
    if (::syscall(SYS_setsid) < 0) return fail("setsid");
  } else if (::syscall(SYS_setpgid, 0, 0) != 0) {
    return fail("setpgid");
  }
  for (int i = 0; i < plan.count; ++i)
    if (::syscall(SYS_dup3, plan.sources[i], i, 0) < 0) return fail("dup3");
  if (::syscall(SYS_close_range, static_cast<unsigned>(plan.count), ~0u, 0u) !=
      0)
    return fail("close_range");
  SetMask(0);
  (void)::syscall(SYS_execve, plan.path, plan.argv, plan.environment);
  return fail("execve");
}

#if defined(__x86_64__)

constexpr bool kHasClone = true;

// clone3() for a child that shares the memory: it must not return to where the
// caller is, for they would share that stack; so it calls `run` on its own.
KINE_IN_CHILD long Clone3(clone_args& args, int (*run)(void*), void* argument) {
  long result = SYS_clone3;
  register int (*r12)(void*) __asm__("r12") = run;
  register void* r13 __asm__("r13") = argument;
  __asm__ volatile(
      "syscall\n\t"
      "testq %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "xorl %%ebp, %%ebp\n\t"  // The outermost frame.
      "movq %%r13, %%rdi\n\t"
      "callq *%%r12\n\t"
      "movl %%eax, %%edi\n\t"
      "movl $60, %%eax\n\t"  // SYS_exit
      "syscall\n\t"
      "hlt\n"
      "1:"
      : "+a"(result)
      : "D"(&args), "S"(sizeof args), "r"(r12), "r"(r13)
      : "rcx", "r11", "memory", "cc");
  return result;
}

#else

constexpr bool kHasClone = false;

long Clone3(clone_args&, int (*)(void*), void*) { return -ENOSYS; }

#endif

bool Probe() {
  if (!kHasClone) return false;
  clone_args args{};
  args.flags = CLONE_VM | CLONE_VFORK | CLONE_INTO_CGROUP;
  args.exit_signal = SIGCHLD;
  // No descriptor: the last thing the kernel looks at, and no child for it. An
  // older kernel does not know the field, a filter not the call.
  args.cgroup = INT32_MAX;
  alignas(16) static std::byte unused[16];
  args.stack = reinterpret_cast<uint64_t>(unused);
  args.stack_size = sizeof unused;
  return Clone3(args, RunChild, nullptr) == -EBADF;
}

}  // namespace

bool CanVforkInto() {
  static const bool kCan = Probe();
  return kCan;
}

absl::StatusOr<VforkChild> VforkInto(const VforkPlan& plan) {
  Child child{&plan};
  int pidfd = -1;
  // Lives as long as the child needs it: CLONE_VFORK returns after that.
  alignas(16) std::byte stack[kStackBytes];
  clone_args args{};
  args.flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_INTO_CGROUP;
  args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  args.stack = reinterpret_cast<uint64_t>(stack);
  args.stack_size = sizeof stack;
  args.cgroup = static_cast<uint64_t>(plan.cgroup_fd);
  // No handler of ours may run in a child that shares our memory.
  const uint64_t mask = SetMask(~uint64_t{0});
  const long pid = Clone3(args, RunChild, &child);
  SetMask(mask);
  if (pid < 0) return ErrnoStatus(static_cast<int>(-pid), "clone3");
  VforkChild out{static_cast<pid_t>(pid), UniqueFd(pidfd)};
  if (child.failed == nullptr) return out;
  siginfo_t info;
  while (::waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED) != 0 &&
         errno == EINTR) {
  }
  return ErrnoStatus(child.error, child.failed);
}

}  // namespace kine
