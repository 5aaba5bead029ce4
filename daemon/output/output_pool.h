// OutputPool: what the outputs of all commands share: the budgets of memory and
// of disk, and the place of their files. Makes the ProcessOutput of each.
//
// Control loop only; outlives the outputs it made and who reads them.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <memory>

#include "absl/status/status.h"
#include "daemon/base/loop.h"
#include "daemon/base/metrics.h"
#include "daemon/process/process_output.h"
#include "daemon/storage/file_io.h"

namespace kine {

class OutputStreams;

struct OutputMetrics {
  Counter read_bytes;
  Counter spooled_bytes;
  Counter input_bytes;
  Counter spool_refused;  // Spools that ended early: disk slow, full, budget.
  Counter evicted;        // Outputs of ended commands given up for new ones.
  Gauge memory_bytes;
  Gauge spool_bytes;
  Gauge followers;
};

class OutputPool {
 public:
  struct Budget {
    uint64_t memory_bytes;
    uint64_t spool_bytes;
  };
  // Spool files are made, without a name, in `dir_fd`.
  OutputPool(Loop& loop, FileIo& file_io, int dir_fd);
  OutputPool(Loop& loop, FileIo& file_io, int dir_fd, Budget budget);

  // May a command with this request start? INVALID_ARGUMENT for its regex;
  // 429 output_memory or output_spool when there is no room for its output even
  // without that of commands that have ended.
  absl::Status Admit(const ProcessRequest& request);
  std::unique_ptr<ProcessOutput> Make(const ProcessRequest& request,
                                      ProcessFds fds,
                                      ProcessOutput::Client& client);

  OutputMetrics& metrics() { return metrics_; }
  Loop& loop() { return loop_; }
  FileIo& file_io() { return file_io_; }
  int dir_fd() const { return dir_fd_; }

  // For OutputStreams.
  void AddMemory(int64_t bytes);
  // True while there is too much, after giving up what can be given up.
  bool MemoryShort();
  bool TakeSpool(uint64_t bytes);
  void ReturnSpool(uint64_t bytes);
  // Nothing more comes: it may be given up, the oldest first.
  void OnEnded(std::weak_ptr<OutputStreams> streams);
  std::array<char, 64 << 10>& buffer() { return buffer_; }

 private:
  bool EvictOldest();

  Loop& loop_;
  FileIo& file_io_;
  const int dir_fd_;
  const Budget budget_;
  OutputMetrics metrics_;
  int64_t memory_ = 0;
  uint64_t spool_ = 0;
  std::list<std::weak_ptr<OutputStreams>> ended_;
  std::array<char, 64 << 10> buffer_;
};

}  // namespace kine
