// Preloaded into a program: kills it at the KINE_KILL_AT-th call that changes a
// file, counted from 1. Before that call; with "half" behind the number a write
// has put half of its bytes there first.
#include <dlfcn.h>
#include <signal.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>

namespace {

std::atomic<int> calls{0};

template <typename Function>
Function Real(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

bool IsDue() {
  const char* const at = std::getenv("KINE_KILL_AT");
  return at != nullptr && ++calls == std::atoi(at);
}

void Die() { kill(getpid(), SIGKILL); }

}  // namespace

#define KINE_EXPORT extern "C" __attribute__((visibility("default")))

KINE_EXPORT ssize_t pwrite(int fd, const void* data, size_t size, off_t at) {
  static const auto real =
      Real<ssize_t (*)(int, const void*, size_t, off_t)>("pwrite");
  if (IsDue()) {
    if (std::strstr(std::getenv("KINE_KILL_AT"), "half") != nullptr &&
        size > 8)  // Eight aligned bytes are never torn.
      real(fd, data, size / 2, at);
    Die();
  }
  return real(fd, data, size, at);
}

KINE_EXPORT int fdatasync(int fd) {
  static const auto real = Real<int (*)(int)>("fdatasync");
  if (IsDue()) Die();
  return real(fd);
}

KINE_EXPORT int ftruncate(int fd, off_t size) noexcept {
  static const auto real = Real<int (*)(int, off_t)>("ftruncate");
  if (IsDue()) Die();
  return real(fd, size);
}
