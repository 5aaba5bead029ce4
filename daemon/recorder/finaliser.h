// Finaliser: carries out the plan that turns a growing video.mp4 into an
// ordinary one, step by step through FileIo. The one path for a stop, a limit,
// a failed disk and the recovery after a crash (`--finalise`).
//
// Control thread only; planning and reading run on FileIo's worker, since the
// index of a long recording takes milliseconds to build. One run at a time.
//
// Order: each step starts when the one before it is complete, so that a sync
// lies before the commit. After an error the file plays as before and may be
// finished by a later run; only after an error of the commit or of the sync
// behind it nobody knows what the disk has, and the next process finds out.
//
// Destroy when no run is under way, or after the FileIo.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/base/clock.h"
#include "daemon/storage/file_io.h"
#include "encode/mp4/file_map.h"
#include "encode/mp4/finalise.h"

namespace kine {

struct FinaliseResult {
  bool index_in_front = false;
  // It was finished before; only `bytes` and what its own index says are set.
  bool was_finished = false;
  uint64_t bytes = 0;           // Of the finished file.
  uint64_t duration_ticks = 0;  // As it was recorded.
  uint64_t compact_ticks = 0;   // Of a file that is compact; else 0.
  uint64_t fragments_ticks =
      0;  // FinishFromFile: the end of the last fragment.
  uint64_t samples = 0;
  uint64_t index_bytes = 0;  // Written by the plan.
  uint64_t chapters = 0;
  uint64_t chapters_left_out = 0;  // No room, or behind the end.
  int width = 0;                   // The first picture's coded size.
  int height = 0;
  // A first run, from the index in memory, failed with this, and a second one
  // made the file of what could be read back. OK: nothing failed.
  absl::Status survived;
  absl::Duration took;
};

// What of a file on the disk may be believed.
struct FinaliseTrust {
  // Fragments up to here were synced: only their structure is checked.
  uint64_t durable_bytes = 0;
  // So was each before the next was written (durability `fragment`).
  bool each_synced = false;
  // Nothing behind this is read at all (after a failed sync the page cache may
  // show what the disk does not have).
  uint64_t bytes_max = UINT64_MAX;
};

// What the finished file shall be.
struct FinaliseOptions {
  mp4::CompactRule rule;  // Its times; off: as they were recorded.
  uint64_t bytes_max = UINT64_MAX;
  // The recording's chapters at recorded times. Runs on FileIo's worker; may be
  // null.
  std::function<std::vector<mp4::Chapter>()> chapters = nullptr;
};

class Finaliser {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<FinaliseResult>)>;

  // `fd` is open for reading and writing and stays so.
  Finaliser(FileIo& file_io, const Clock& clock, int fd,
            FinaliseOptions options);
  ~Finaliser();

  // Finishes the file that `map` describes; its last sample ends at `until`
  // (ticks). When a step before the commit fails, once more from the file, as
  // far as `trust` goes (no further than what was durable, if a sync failed).
  void FinishFromIndex(mp4::FileMap map, uint64_t until, FinaliseTrust trust,
                       Done done);

  // Reads the file back first. The last sample ends at `until`, or where its
  // own fragment says, whichever is later. NOT_FOUND when there is not one
  // whole fragment that may be believed.
  void FinishFromFile(FinaliseTrust trust, uint64_t until, Done done);

  bool idle() const { return job_ == nullptr; }

 private:
  struct Job;

  static absl::Status Plan(int fd, Job& job);
  // Plans on the worker, then carries the steps out.
  void Begin();
  void RunStep(absl::Status before);
  bool TryAgain(const absl::Status& status);
  void End(absl::Status status);

  FileIo& file_io_;
  const Clock& clock_;
  const int fd_;
  const FinaliseOptions options_;
  std::unique_ptr<Job> job_;
};

}  // namespace kine
