// Names that the log and the wire share.
#pragma once

#include "daemon/timeline/marker_request.h"
#include "ipc/json_in.h"

namespace kine {

inline constexpr JsonName<MarkerKind> kMarkerKinds[] = {
    {"action", MarkerKind::kAction},
    {"chapter", MarkerKind::kChapter},
    {"note", MarkerKind::kNote},
    {"error", MarkerKind::kError}};

}  // namespace kine
