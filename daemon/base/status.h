// Errors as values: the two macros that pass them on, and the one way to make
// one from errno.
//
// Codes mean, throughout the project: INVALID_ARGUMENT the caller's text;
// NOT_FOUND and ALREADY_EXISTS names; FAILED_PRECONDITION wrong state;
// RESOURCE_EXHAUSTED a limit (named in the text); UNAVAILABLE try again later;
// UNIMPLEMENTED this machine cannot; DATA_LOSS damaged bytes; INTERNAL our bug.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

// Returns from the enclosing function when `expr` (an absl::Status) is an
// error.
#define KINE_RETURN_IF_ERROR(expr)                              \
  do {                                                          \
    if (absl::Status kine_status_ = (expr); !kine_status_.ok()) \
      return kine_status_;                                      \
  } while (false)

// `KINE_ASSIGN_OR_RETURN(auto x, F());` assigns the value of a StatusOr or
// returns its error.
#define KINE_ASSIGN_OR_RETURN(lhs, expr) \
  KINE_ASSIGN_OR_RETURN_IMPL_(KINE_CONCAT_(kine_or_, __LINE__), lhs, expr)
#define KINE_CONCAT_IMPL_(a, b) a##b
#define KINE_CONCAT_(a, b) KINE_CONCAT_IMPL_(a, b)
#define KINE_ASSIGN_OR_RETURN_IMPL_(tmp, lhs, expr) \
  auto tmp = (expr);                                \
  if (!tmp.ok()) return std::move(tmp).status();    \
  lhs = std::move(tmp).value()

namespace kine {

// "`what`: <strerror>" with the code that fits `error` (an errno value, which
// the caller saves before it calls anything else). The errno is kept and
// ErrnoOf() finds it again.
absl::Status ErrnoStatus(int error, absl::string_view what);

// The errno a status was made from by ErrnoStatus, or 0.
int ErrnoOf(const absl::Status& status);

// The same error with "`context`: " in front of its message; OK stays OK.
// Payloads are kept. Add context once per layer on the way up.
absl::Status WithContext(absl::string_view context, const absl::Status& status);

}  // namespace kine
