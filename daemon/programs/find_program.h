// Where the other programs of this installation are.
//
// Any thread; blocks for a few system calls.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace kine {

// The path of `name`: beside the running program (a build, or libexec), else in
// ../libexec/kinescope of it (bin). FAILED_PRECONDITION names both places.
absl::StatusOr<std::string> FindProgram(const std::string& name);

}  // namespace kine
