// KINE_CHECK: what cannot happen. On in release builds. A failed check writes
// one line to standard error and aborts: a recorder that is wrong about its own
// state must die (its daemon then finalises the file) rather than write on.
// Use assert() in loops over pixels.
#pragma once

#define KINE_CHECK(condition)                        \
  (__builtin_expect(static_cast<bool>(condition), 1) \
       ? static_cast<void>(0)                        \
       : ::kine::CheckFailed(__FILE__, __LINE__, #condition))

namespace kine {

[[noreturn]] void CheckFailed(const char* file, int line,
                              const char* condition);

}  // namespace kine
