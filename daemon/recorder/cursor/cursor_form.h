// A cursor file in another form, for who asked for it. Blocking: a one-shot
// mode. Memory does not grow with the file.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace kine {

enum class CursorForm {
  kLines,  // The same lines, at other times.
  // Cap's cursor.json: {"clicks": [...], "moves": [...]}. A cursor_id is the
  // shape's id as text, "0" where none is known. It has no hidden pointer.
  kCap,
};
// "ndjson" and "cap".
std::optional<CursorForm> CursorFormFromName(absl::string_view name);

// Of the good lines in `file_fd` into `out_fd`, which is empty, with their
// times given to `view_us`. The bytes written.
absl::StatusOr<uint64_t> WriteCursorForm(
    int file_fd, int out_fd, CursorForm form,
    absl::FunctionRef<int64_t(int64_t media_us)> view_us);

}  // namespace kine
