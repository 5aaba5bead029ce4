// Parsed once a build for all sources, where the compiler is GCC: a third of
// the time of a small one goes there. Of others only, and no promise: a source
// includes what it uses (clang-tidy sees each without this).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
