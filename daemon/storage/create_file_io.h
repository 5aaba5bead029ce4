// Picks the FileIo: the one switch of this seam.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "daemon/base/loop.h"
#include "daemon/storage/file_io.h"
#include "daemon/storage/uring_file_io.h"
#include "daemon/storage/uring_probe.h"

namespace kine {

// --file_io=auto|uring|thread.
enum class FileIoChoice { kAuto, kUring, kThread };

// INVALID_ARGUMENT names the three.
absl::StatusOr<FileIoChoice> ParseFileIoChoice(absl::string_view text);

struct ChosenFileIo {
  std::unique_ptr<FileIo> file_io;
  absl::string_view name;  // "uring" or "thread", for ever valid.
  std::string reason;      // Why that one.
};

// kAuto takes io_uring when `probe` found it usable and a ring can be set up
// here, else the thread, with the reason. kUring does not look at `probe` and
// fails where it cannot. `on_demoted`: see UringFileIo.
absl::StatusOr<ChosenFileIo> CreateFileIo(FileIoChoice choice,
                                          const UringProbe& probe, Loop& loop,
                                          UringFileIo::OnDemoted on_demoted);

}  // namespace kine
