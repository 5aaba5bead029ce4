// codersdk.Response: how coder's agent answers what is no data, errors
// included.
//
// Control loop only.
#pragma once

#include "absl/strings/string_view.h"
#include "ipc/reply.h"

namespace kine {

// Answers `reply` with {"message", "detail"}; without `detail` when empty.
void RespondAsCoder(Reply& reply, int status, absl::string_view message,
                    absl::string_view detail = "");

}  // namespace kine
