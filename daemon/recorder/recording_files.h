// The files of one recording that its recorder writes, opened below the
// directory that came with the Start message. Blocking; FileIo's worker.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/base/fd.h"
#include "daemon/timeline/trace_ring.h"
#include "encode/mp4/moov.h"

namespace kine {

inline constexpr char kVideoFileName[] = "video.mp4";

struct RecordingFiles {
  UniqueFd video;
  UniqueFd alive;
  UniqueFd directory;                // For ReadChapters(); may be none.
  std::shared_ptr<TraceRing> trace;  // What is done is noted here; may be none.
  // cursor.ndjson, empty; NOT_FOUND: this recording has none (a replay).
  absl::StatusOr<UniqueFd> cursor = absl::NotFoundError("no cursor file");
  // The first bytes of the video are allocated on the disk, by reservation or,
  // where the file system has none, as zeros.
  bool reserved = false;
};

// Makes video.mp4 (ALREADY_EXISTS when there is one: a recording is started
// once), takes its lock, allocates its first `head_bytes` bytes, makes `alive`,
// and makes both names durable. RESOURCE_EXHAUSTED below the free space floor.
absl::StatusOr<RecordingFiles> CreateRecordingFiles(int dir_fd,
                                                    uint64_t head_bytes);

// For `--finalise`: opens an existing video.mp4 and takes its lock, from a
// writer that does not let go within limits::kLockWaitMs by killing it.
// NOT_FOUND when there is no video.
absl::StatusOr<UniqueFd> OpenVideoForRecovery(int dir_fd);

// The markers and commands in the event log, as far as it is whole; none
// without a directory.
std::vector<mp4::Chapter> ReadChapters(int dir_fd);

// The `alive` file's time in ticks; 0 when it says nothing, `damaged` when it
// should: it has bytes, and no slot is whole.
struct AliveNote {
  uint64_t ticks = 0;
  bool damaged = false;
};
AliveNote ReadAliveNote(int dir_fd);

}  // namespace kine
