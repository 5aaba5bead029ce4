// Recordings in memory, of made-up samples, for the tests of encode/mp4.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "encode/mp4/byte_source.h"
#include "encode/mp4/file_map.h"
#include "encode/mp4/finalise.h"
#include "encode/mp4/fragment_writer.h"
#include "encode/mp4/init_segment.h"

namespace kine::mp4 {

using ByteVector = std::vector<std::byte>;

// A file in memory. Counts what is read, so that a test can say what was not.
class MemoryFile : public ByteSource, public PlanTarget {
 public:
  MemoryFile() = default;
  explicit MemoryFile(ByteVector initial) : bytes(std::move(initial)) {}

  uint64_t size() const override { return bytes.size(); }
  absl::StatusOr<size_t> ReadAt(uint64_t offset,
                                std::span<std::byte> into) override;
  absl::Status WriteAt(uint64_t offset,
                       std::span<const std::byte> data) override;
  absl::Status Truncate(uint64_t length) override;
  absl::Status Sync() override;

  ByteVector bytes;
  uint64_t reads = 0;
  uint64_t bytes_read = 0;
  int syncs = 0;
  // Operations (reads and writes) that succeed; then one fails, and all after.
  int operations_left = 1 << 30;

 private:
  absl::Status Operation();
};

// An access unit that looks like one from outside: AVCC framed, a keyframe with
// an SPS and a PPS in front, `slice_bytes` of noise behind.
ByteVector FakeAccessUnit(bool keyframe, size_t slice_bytes,
                          std::mt19937& random);

struct RecordingShape {
  uint32_t seed = 1;
  int fragments = 4;
  // About 1 to this many samples a fragment.
  int samples_max = 6;
  uint64_t reserve_bytes = 2048;
  size_t slice_bytes_max = 60;
  bool only_keyframes = false;
  // Every fragment but the last was closed later than the next one's first
  // sample was captured: that one was still being encoded.
  bool late_samples = false;
};

// A growing recording and the truth about it.
struct TestRecording {
  InitSegment init;
  ByteVector bytes;  // The file.
  std::vector<uint64_t> fragment_offsets;
  std::vector<size_t> samples_before;  // Each fragment.
  std::vector<Sample> samples;
  FileMap map;     // The writer's own.
  uint64_t until;  // When it was stopped.

  size_t fragments() const { return fragment_offsets.size(); }
  // How many fragments are whole in the first `bytes` of the file.
  size_t WholeFragments(uint64_t file_bytes) const;
  // The same, where `file` has other bytes: those that were cut off may have
  // been what stands there now.
  size_t UnchangedFragments(const ByteVector& file) const;
  size_t SamplesIn(size_t whole_fragments) const;
};

TestRecording MakeRecording(const RecordingShape& shape);

// Appends the init segment as the recorder would write it.
void AppendInit(const InitSegment& init, ByteVector& file);

// All samples of an index.
std::vector<IndexedSample> SamplesOf(const SampleIndex& index);

// Scans `file` with all CRCs and finalises it: the recovery. Fails the test on
// an error. Returns the samples the scan found, none for `no_frame`.
size_t Recover(MemoryFile& file, uint64_t until);

// Fails the test unless `file` is a finished MP4 with exactly the first `count`
// samples of `recording`, byte for byte, the last one lasting until `until`.
void ExpectFinished(MemoryFile& file, const TestRecording& recording,
                    size_t count, uint64_t until);

}  // namespace kine::mp4
