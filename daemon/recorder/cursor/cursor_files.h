// The files of the pointer in a recording's directory, and reading them back.
// Blocking: FileIo's worker, or a one-shot mode.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "daemon/base/fd.h"
#include "daemon/recorder/cursor/cursor_state.h"
#include "ipc/link_messages.h"

namespace kine {

inline constexpr char kCursorFileName[] = "cursor.ndjson";
inline constexpr char kCursorShapesName[] = "cursors";
inline constexpr int kCursorFileVersion = 1;

// ALREADY_EXISTS when there is one.
absl::StatusOr<UniqueFd> CreateCursorFile(int dir_fd);

// cursors/<hash>.png, durably; makes the directory where there is none.
absl::Status WriteCursorShape(int dir_fd, const CursorImage& image);

// A line of cursor.ndjson (cursor_writer.h). Of `kind` only what it has counts.
struct CursorLine {
  enum class Kind {
    kHead,
    kPicture,
    kShape,
    kMove,
    kButton,  // Nothing writes one yet.
    kShow,
    kHide,
    kEnd,
  };
  int64_t t_us = 0;
  Kind kind = Kind::kEnd;
  bool embedded = false;  // kHead, kPicture.
  uint32_t shape = 0;     // kShape, kMove.
  bool new_shape = false;
  double x = 0;  // kMove.
  double y = 0;
  uint32_t button = 0;  // kButton: 0 is the left one.
  bool down = false;
};
// Nothing: of a kind that this version does not know, or no such line.
std::optional<CursorLine> ParseCursorLine(absl::string_view object);

// After a crash: cuts off what is damaged and counts the rest. No mode: there
// is no file, or nothing in it. `damaged`: something was cut off.
struct RecoveredCursorFile {
  link::CursorFile counts;
  bool damaged = false;
};
absl::StatusOr<RecoveredCursorFile> RecoverCursorFile(int dir_fd);

}  // namespace kine
