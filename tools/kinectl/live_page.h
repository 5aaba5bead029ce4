// The page that plays a live view in a browser: tools/live_viewer.html.
#pragma once

#include "absl/strings/string_view.h"

namespace kinectl {

absl::string_view LivePage();

}  // namespace kinectl
