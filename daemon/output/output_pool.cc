#include "daemon/output/output_pool.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits/output.h"
#include "daemon/base/status.h"
#include "daemon/output/line_pattern.h"
#include "daemon/output/output_streams.h"
#include "ipc/problem.h"

namespace kine {

OutputPool::OutputPool(Loop& loop, FileIo& file_io, int dir_fd)
    : OutputPool(loop, file_io, dir_fd,
                 {limits::kOutputsMemoryBytes, limits::kOutputsSpoolBytes}) {}

OutputPool::OutputPool(Loop& loop, FileIo& file_io, int dir_fd, Budget budget)
    : loop_(loop), file_io_(file_io), dir_fd_(dir_fd), budget_(budget) {}

absl::Status OutputPool::Admit(const ProcessRequest& request) {
  if (!request.ready.regex.empty())
    KINE_RETURN_IF_ERROR(LinePattern::Create(request.ready.regex).status());
  const auto has_memory = [this] {
    return memory_ + int64_t{limits::kOutputAdmitBytes} <=
           static_cast<int64_t>(budget_.memory_bytes);
  };
  while (!has_memory() && EvictOldest()) {
  }
  if (!has_memory())
    return WithProblem(
        absl::ResourceExhaustedError(absl::StrCat(
            "the output of running commands fills the ", budget_.memory_bytes,
            " bytes of memory that all outputs share; end some of them, or "
            "start them with smaller output.head_bytes and tail_bytes")),
        429, "output_memory");
  if (request.output.spool_bytes == 0) return absl::OkStatus();
  const auto has_spool = [this] { return spool_ < budget_.spool_bytes; };
  while (!has_spool() && EvictOldest()) {
  }
  if (has_spool()) return absl::OkStatus();
  return WithProblem(
      absl::ResourceExhaustedError(absl::StrCat(
          "the output of running commands fills the ", budget_.spool_bytes,
          " bytes of disk that all outputs share; end some of them, or start "
          "this one with output.spool_bytes=0")),
      429, "output_spool");
}

std::unique_ptr<ProcessOutput> OutputPool::Make(const ProcessRequest& request,
                                                ProcessFds fds,
                                                ProcessOutput::Client& client) {
  auto streams =
      std::make_shared<OutputStreams>(*this, request, std::move(fds), client);
  streams->Start();
  return std::make_unique<StoredOutput>(std::move(streams));
}

void OutputPool::AddMemory(int64_t bytes) {
  memory_ += bytes;
  metrics_.memory_bytes.Set(memory_);
}

bool OutputPool::MemoryShort() {
  const auto is_short = [this] {
    return memory_ > static_cast<int64_t>(budget_.memory_bytes);
  };
  while (is_short() && EvictOldest()) {
  }
  return is_short();
}

bool OutputPool::TakeSpool(uint64_t bytes) {
  while (spool_ + bytes > budget_.spool_bytes) {
    if (!EvictOldest()) return false;
  }
  spool_ += bytes;
  metrics_.spool_bytes.Set(static_cast<int64_t>(spool_));
  return true;
}

void OutputPool::ReturnSpool(uint64_t bytes) {
  spool_ -= bytes;
  metrics_.spool_bytes.Set(static_cast<int64_t>(spool_));
}

void OutputPool::OnEnded(std::weak_ptr<OutputStreams> streams) {
  ended_.remove_if([](const auto& known) { return known.expired(); });
  ended_.push_back(std::move(streams));
}

bool OutputPool::EvictOldest() {
  while (!ended_.empty()) {
    const std::shared_ptr<OutputStreams> oldest = ended_.front().lock();
    ended_.pop_front();
    if (oldest == nullptr || oldest->forgotten()) continue;
    oldest->Forget();
    metrics_.evicted.Add();
    return true;
  }
  return false;
}

}  // namespace kine
