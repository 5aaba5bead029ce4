#include "daemon/storage/thread_file_io.h"

#include "daemon/base/status.h"
#include "daemon/storage/blocking_io.h"

namespace kine {

absl::StatusOr<std::unique_ptr<ThreadFileIo>> ThreadFileIo::Create(Loop& loop) {
  KINE_ASSIGN_OR_RETURN(auto worker, Worker::Start(loop, "kine-file"));
  return std::unique_ptr<ThreadFileIo>(new ThreadFileIo(std::move(worker)));
}

void ThreadFileIo::WriteAt(int fd, uint64_t offset, std::vector<std::byte> data,
                           Done done) {
  const size_t bytes = data.size();
  worker_->Submit(
      bytes,
      [fd, offset, data = std::move(data)] {
        return WriteFully(fd, offset, data);
      },
      std::move(done));
}

void ThreadFileIo::Sync(int fd, Done done) {
  worker_->Submit(
      0, [fd] { return SyncData(fd); }, std::move(done));
}

void ThreadFileIo::Reserve(int fd, uint64_t offset, uint64_t length,
                           Done done) {
  worker_->Submit(
      0, [fd, offset, length] { return ReserveSpace(fd, offset, length); },
      std::move(done));
}

void ThreadFileIo::Run(Work work, Done done) {
  worker_->Submit(0, std::move(work), std::move(done));
}

}  // namespace kine
