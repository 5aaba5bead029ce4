// The finaliser: turns a growing recording into an ordinary MP4 with one index,
// as a list of steps for the caller to carry out. One code path for stop,
// limit, crash and restart.
//
// In front, if the index fits the reserve (ARCHITECTURE.md has the steps):
//
//   ftyp | moov | mdat (texts) | free (padding) | mdat( init moov, moof, … )
//
// else at the end:
//
//   ftyp | mdat( reserve, init moov, moof, …, header of a free, texts ) | moov
//
// The texts are the chapters', if there are any. They take what is left: of the
// reserve, where the index is in front, and of `bytes_max`.
//
// Everything but the commit is written where readers of the growing file see
// the payload of a `free` box. The commit is one aligned 8-byte write. Whatever
// happens between two steps, or within one that is not the commit, the file
// plays as before, and scanning it again and finalising gives the same bytes.
//
// Pure functions; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "encode/mp4/file_map.h"
#include "encode/mp4/moov.h"
#include "encode/mp4/view.h"

namespace kine::mp4 {

struct FinaliseStep {
  enum class Kind { kTruncate, kWrite, kSync };
  Kind kind = Kind::kSync;
  uint64_t offset = 0;          // kTruncate: the new length.
  std::vector<std::byte> data;  // kWrite.
};

// The steps are carried out in order, each after the one before completed.
struct FinalisePlan {
  std::vector<FinaliseStep> steps;
  bool index_in_front = false;
  uint64_t file_bytes = 0;      // Of the finished file.
  uint64_t duration_ticks = 0;  // As it was recorded.
  uint64_t compact_ticks = 0;   // Of a finished video that is compact; else 0.
  uint64_t samples = 0;
  uint64_t chapters = 0;           // In the file.
  uint64_t chapters_left_out = 0;  // Behind its end, or without room.
};

struct PlanChapters {
  std::vector<Chapter> chapters;    // At recorded times, in any order.
  uint64_t bytes_max = UINT64_MAX;  // Of the finished file.
};

// `until`: when the last sample ends (the stop, or the `alive` time), in ticks;
// it lasts for at least one. `rule`: the times of the finished video (off: as
// they were recorded). FAILED_PRECONDITION when the index is not complete
// (scan the file instead) or has no sample (`no_frame`); RESOURCE_EXHAUSTED
// when the moov would pass 4 GiB.
absl::StatusOr<FinalisePlan> PlanFinalise(const FileMap& file, uint64_t until,
                                          CompactRule rule = {},
                                          PlanChapters chapters = {});

// A file to carry out a plan on, synchronously.
class PlanTarget {
 public:
  virtual ~PlanTarget() = default;
  // Writes every byte or fails.
  virtual absl::Status WriteAt(uint64_t offset,
                               std::span<const std::byte> data) = 0;
  virtual absl::Status Truncate(uint64_t length) = 0;
  virtual absl::Status Sync() = 0;
};

// Stops at the first error; the plan may then be made and run again.
absl::Status RunPlan(const FinalisePlan& plan, PlanTarget& target);

}  // namespace kine::mp4
