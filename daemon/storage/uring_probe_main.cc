// The child's half of the probe; kept apart, since it needs liburing.
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "daemon/base/epoll_loop.h"
#include "daemon/base/fd.h"
#include "daemon/base/status.h"
#include "daemon/storage/blocking_io.h"
#include "daemon/storage/uring_file_io.h"
#include "daemon/storage/uring_probe.h"

namespace kine {
namespace {

using Stage = UringProbeStage;

// Write, sync, reserve; each waits for its completion through the loop, so the
// eventfd is tried as well. Quits the loop in the end.
class Trial {
 public:
  Trial(EpollLoop& loop, FileIo& file_io, int fd)
      : loop_(loop), file_io_(file_io), fd_(fd) {}

  void Start() {
    file_io_.WriteAt(fd_, 0, std::vector<std::byte>(4096, std::byte{0x5a}),
                     [this](absl::Status status) {
                       if (Passed(Stage::kWrite, status)) Sync();
                     });
  }
  void Fail(Stage stage) {
    exit_code_ = kUringProbeStageBase + static_cast<int>(stage);
    loop_.Quit();
  }
  int exit_code() const { return exit_code_; }

 private:
  void Sync() {
    file_io_.Sync(fd_, [this](absl::Status status) {
      if (Passed(Stage::kSync, status)) Reserve();
    });
  }
  void Reserve() {
    file_io_.Reserve(fd_, 4096, 4096, [this](absl::Status status) {
      // Whether the file system can is another question.
      if (!absl::IsUnimplemented(status) && !Passed(Stage::kReserve, status))
        return;
      std::byte last{};
      const auto n = ReadFully(fd_, 4095, std::span(&last, 1));
      if (!n.ok() || *n != 1 || last != std::byte{0x5a})
        return Fail(Stage::kReadBack);
      loop_.Quit();
    });
  }
  bool Passed(Stage stage, const absl::Status& status) {
    if (!status.ok()) Fail(stage);
    return status.ok();
  }

  EpollLoop& loop_;
  FileIo& file_io_;
  const int fd_;
  int exit_code_ = 0;
};

}  // namespace

int ProbeUringMain() {
  constexpr int kPrepareFailed =
      kUringProbeStageBase + static_cast<int>(Stage::kPrepare);
  const UniqueFd fd(::memfd_create("kinescope-probe", MFD_CLOEXEC));
  if (!fd.valid()) return kPrepareFailed;
  auto loop = EpollLoop::Create();
  if (!loop.ok()) return kPrepareFailed;
  std::unique_ptr<Trial> trial;
  auto file_io = UringFileIo::Create(
      **loop, [&trial](absl::Status) { trial->Fail(Stage::kDemoted); });
  if (!file_io.ok()) {
    const int error = ErrnoOf(file_io.status());
    return error > 0 && error < kUringProbeExecFailed ? error : kPrepareFailed;
  }
  trial = std::make_unique<Trial>(**loop, **file_io, fd.get());
  trial->Start();
  (*loop)->Run();
  return trial->exit_code();
}

}  // namespace kine
