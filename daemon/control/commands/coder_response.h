// codersdk.Response: how coder's agent answers what is no data, errors
// included.
//
// Control loop only.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "ipc/reply.h"

namespace kine {

// {"message", "detail"}; without `detail` when empty.
std::string CoderResponseJson(absl::string_view message,
                              absl::string_view detail = "");
// Answers `reply` with it.
void RespondAsCoder(Reply& reply, int status, absl::string_view message,
                    absl::string_view detail = "");

}  // namespace kine
