// ThreadFileIo: FileIo by blocking calls on one worker thread. Works
// everywhere; the fallback where io_uring is forbidden. Operations run first
// in, first out (callers must not rely on it: see FileIo).
#pragma once

#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "daemon/storage/file_io.h"
#include "daemon/storage/worker.h"

namespace kine {

class ThreadFileIo final : public FileIo {
 public:
  static absl::StatusOr<std::unique_ptr<ThreadFileIo>> Create(Loop& loop);

  void WriteAt(int fd, uint64_t offset, std::vector<std::byte> data,
               Done done) override;
  void Sync(int fd, Done done) override;
  void Reserve(int fd, uint64_t offset, uint64_t length, Done done) override;
  void Run(Work work, Done done) override;
  size_t pending() const override { return worker_->pending(); }

 private:
  explicit ThreadFileIo(std::unique_ptr<Worker> worker)
      : worker_(std::move(worker)) {}

  std::unique_ptr<Worker> worker_;
};

}  // namespace kine
