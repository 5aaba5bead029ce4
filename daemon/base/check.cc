#include "daemon/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace kine {

void CheckFailed(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "<2>%s:%d: check failed: %s\n", file, line, condition);
  std::abort();
}

}  // namespace kine
