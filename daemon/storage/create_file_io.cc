#include "daemon/storage/create_file_io.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/log.h"
#include "daemon/base/status.h"
#include "daemon/storage/thread_file_io.h"

namespace kine {
namespace {

absl::StatusOr<ChosenFileIo> CreateThread(Loop& loop, std::string reason) {
  KINE_ASSIGN_OR_RETURN(auto file_io, ThreadFileIo::Create(loop));
  return ChosenFileIo{std::move(file_io), "thread", std::move(reason)};
}

}  // namespace

absl::StatusOr<FileIoChoice> ParseFileIoChoice(absl::string_view text) {
  if (text == "auto") return FileIoChoice::kAuto;
  if (text == "uring") return FileIoChoice::kUring;
  if (text == "thread") return FileIoChoice::kThread;
  return absl::InvalidArgumentError(
      absl::StrCat("must be auto, uring or thread, not ", Quoted(text)));
}

absl::StatusOr<ChosenFileIo> CreateFileIo(FileIoChoice choice,
                                          const UringProbe& probe, Loop& loop,
                                          UringFileIo::OnDemoted on_demoted) {
  switch (choice) {
    case FileIoChoice::kThread:
      return CreateThread(loop, "--file_io=thread");
    case FileIoChoice::kUring: {
      KINE_ASSIGN_OR_RETURN(auto file_io,
                            UringFileIo::Create(loop, std::move(on_demoted)));
      return ChosenFileIo{std::move(file_io), "uring", "--file_io=uring"};
    }
    case FileIoChoice::kAuto: {
      if (!probe.usable) return CreateThread(loop, probe.reason);
      auto file_io = UringFileIo::Create(loop, std::move(on_demoted));
      if (!file_io.ok())
        return CreateThread(loop, std::string(file_io.status().message()));
      return ChosenFileIo{*std::move(file_io), "uring", probe.reason};
    }
  }
  return absl::InternalError("no such choice of file I/O");
}

}  // namespace kine
