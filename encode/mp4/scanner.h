// Scan: reads the boxes of a recording after a crash (or when the index did not
// fit in memory), trusting nothing in it.
//
// Any thread; reads headers only, a few KiB at a time, and the payload of the
// fragments behind the durable mark.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "encode/mp4/byte_source.h"
#include "encode/mp4/file_map.h"

namespace kine::mp4 {

struct ScanOptions {
  // Fragments that end at or before this were synced, and only their structure
  // is checked; behind it every CRC is. 0: check all.
  uint64_t durable_bytes = 0;
  // Each fragment was written when the one before it was durable: of those that
  // have something behind them only the structure is checked.
  bool each_synced = false;
  // Of the index; RESOURCE_EXHAUSTED above it.
  size_t index_memory_max = 0;
};

struct ScanResult {
  enum class State {
    kNoFrame,   // Not one whole fragment, or no recording of ours.
    kGrowing,   // `file` can be finalised.
    kFinished,  // Committed: only release what lies behind `file.end`.
  };
  State state = State::kNoFrame;
  // kGrowing: all of it. kFinished: only `end`, that of the last box.
  FileMap file;
  // kGrowing: where the last sample ends by its own fragment: a lower bound for
  // PlanFinalise's `until`.
  uint64_t last_until = 0;
  uint64_t fragments = 0;
  // Why it ended where it did: "end of file", or what is wrong at `file.end`.
  std::string ended_by;
};

// Errors: those of `source`, and RESOURCE_EXHAUSTED. Damage is not an error.
absl::StatusOr<ScanResult> Scan(ByteSource& source, const ScanOptions& options);

}  // namespace kine::mp4
