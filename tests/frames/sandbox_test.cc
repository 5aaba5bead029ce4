#include "daemon/frames/sandbox.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <functional>

namespace kine::frames {
namespace {

constexpr SandboxLimits kLimits{absl::Seconds(30), 1ull << 40, 1u << 20};

// The wait status of a child that runs `body` in the sandbox.
int InSandbox(const SandboxLimits& limits, const std::function<int()>& body) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(EnterSandbox(limits).ok() ? body() : 99);
  int status = -1;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

// Under these the sandbox limits time only (sandbox.h).
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

TEST(SandboxTest, ReachesNothingThatIsNotOpen) {
  const int status = InSandbox(kLimits, [] {
    if (::open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0) return 1;
    if (errno != EPERM) return 2;
    if (::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0) return 3;
    if (::fork() >= 0) return 4;
    if (::kill(::getppid(), 0) == 0) return 5;
    if (::execl("/bin/true", "true", nullptr) == 0) return 6;
    void* const code = ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return code == MAP_FAILED ? 0 : 7;
  });
  ASSERT_TRUE(WIFEXITED(status)) << status;
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(SandboxTest, StillAllocatesAndWrites) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const int status = InSandbox(kLimits, [&] {
    void* const memory = ::mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return 1;
    return ::write(ends[1], "x", 1) == 1 ? 0 : 2;
  });
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST(SandboxTest, MemoryHasALimit) {
  SandboxLimits limits = kLimits;
  limits.memory_bytes = 256u << 20;
  const int status = InSandbox(limits, []() -> int {
    void* const memory = ::mmap(nullptr, 512u << 20, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? 0 : 1;
  });
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

#endif

TEST(SandboxTest, EndsWhatTakesTooLong) {
  SandboxLimits limits = kLimits;
  limits.time = absl::Milliseconds(50);
  const int status = InSandbox(limits, []() -> int {
    for (;;) asm volatile("");
  });
  ASSERT_TRUE(WIFSIGNALED(status)) << status;
  EXPECT_EQ(WTERMSIG(status), SIGALRM);
}

}  // namespace
}  // namespace kine::frames
