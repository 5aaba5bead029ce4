// What records of runs, recordings and commands hold as text. Any thread.
#pragma once

#include <string>

#include "absl/time/time.h"

namespace kine {

// A random version 4 UUID.
std::string MakeUuid();

// RFC 3339 with microseconds, UTC.
std::string TimeText(absl::Time time);

}  // namespace kine
