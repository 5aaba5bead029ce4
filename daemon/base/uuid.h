// Names for runs, recordings and commands.
#pragma once

#include <string>

namespace kine {

// A random version 4 UUID. Any thread.
std::string MakeUuid();

}  // namespace kine
