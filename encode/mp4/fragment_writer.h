// FragmentWriter: packs samples into fragments (`moof` + `mdat`), one write
// each, and keeps the index that finishes the file.
//
// One thread (the recorder's control thread). Order of calls:
//
//   Add() … Add() Close()   Add() … Close()   …   TakeFile()
//
// The caller decides when a fragment closes: limits::kFragmentMs after its
// first sample, at a pause, stop or change of size. A fragment need not begin
// with a keyframe; the first one must. Before each Add the caller asks
// FinishedBytesWith() and stops instead when that is above max_bytes.
//
// Nothing can fail but the caller's order, which is checked (KINE_CHECK). When
// a write fails, the index knows samples that the file does not have: finish
// such a file from Scan().
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "encode/mp4/file_map.h"
#include "encode/mp4/fragment_layout.h"
#include "encode/mp4/init_segment.h"
#include "encode/mp4/sample_index.h"

namespace kine::mp4 {

// A closed fragment: `bytes` go to `offset` in one write.
struct Fragment {
  uint64_t offset = 0;
  std::vector<std::byte> bytes;
  uint64_t first_time = 0;
  uint64_t until = 0;  // Where its last sample ends, as it says itself.
  uint32_t samples = 0;
  bool starts_with_keyframe = false;

  uint64_t end() const { return offset + bytes.size(); }
};

class FragmentWriter {
 public:
  // `index_memory_max` bounds the index (limits::kIndexMemoryBytesMax).
  // `retimed`: the file will be finished with other times than its samples'
  // (CompactRule), which may all last differently.
  FragmentWriter(FileHeader header, size_t index_memory_max,
                 bool retimed = false);

  void Add(Sample sample);

  // The open fragment.
  bool empty() const { return samples_.empty(); }
  uint64_t open_since() const { return samples_.front().time; }  // Not empty().
  size_t open_bytes() const { return payload_bytes_; }

  // Closes the open fragment, which must not be empty, at `until`: its last
  // sample lasts until then (at least one tick).
  Fragment Close(uint64_t until);

  // The most that the finished file can measure, whenever it is stopped, with
  // `sample` in the open fragment and nothing after it. Exact but for 8 bytes,
  // which the last sample's duration may save, and padding. Close() first where
  // `sample` belongs into the next fragment.
  uint64_t FinishedBytesWith(const Sample& sample) const;
  // The same without another sample.
  uint64_t FinishedBytes() const;

  // End of the closed fragments.
  uint64_t end() const { return end_; }
  uint64_t samples_added() const { return samples_added_; }
  // The index still knows every sample: TakeFile() can be finished.
  bool index_complete() const { return index_.complete(); }

  // What PlanFinalise() needs. The open fragment must have been closed; the
  // writer is done.
  FileMap TakeFile() &&;

 private:
  uint64_t TimeFor(uint64_t asked) const;
  uint64_t FinishedBytesOf(const Sample* extra) const;

  FileHeader header_;
  const bool retimed_;
  SampleIndex index_;
  uint64_t end_;
  uint32_t sequence_ = 1;
  uint64_t samples_added_ = 0;
  uint64_t last_time_ = 0;
  std::vector<Sample> samples_;  // Of the open fragment.
  size_t payload_bytes_ = 0;
};

}  // namespace kine::mp4
