// SampleIndex: where every sample of a recording lies, and when it is shown, in
// about 6 bytes a sample, so that a recording can be finished without reading
// it back.
//
// One thread. Bounded: above `memory_max` it keeps counting (FinishedMoovBytes
// stays exact) but forgets the samples, complete() turns false, and the owner
// reads the file back with Scan() instead.
//
// Times are decode times in ticks (limits::kMediaTimeScale) and never decrease.
// A sample lasts until the next one; how long the last one lasts is not known
// here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace kine::mp4 {

// The longest that a sample may last, 6.6 hours: players read durations as
// signed 32 bits. Where a screen stays still for longer, a skip frame keeps the
// time right; without one the finished file is shorter than the recording.
inline constexpr uint64_t kSampleTicksMax = 0x7fff'ffff;

// A sample as it lies in the file.
struct IndexedSample {
  uint64_t offset = 0;  // In the file.
  uint32_t size = 0;
  uint64_t time = 0;  // From the first sample, gaps shortened.
  bool keyframe = false;
  uint16_t priority = 0;      // Degradation priority, see Priority().
  bool starts_chunk = false;  // Does not follow the sample before it directly.

  friend bool operator==(const IndexedSample&, const IndexedSample&) = default;
};

// What decides the size of the tables in a moov.
struct IndexCounts {
  uint64_t samples = 0;
  uint64_t keyframes = 0;
  uint64_t chunks = 0;
  // Runs of equal durations (stts), without the last sample's.
  uint64_t duration_runs = 0;
  uint64_t last_run_duration = 0;
  // Runs of chunks with equally many samples (stsc), the last chunk included.
  uint64_t chunk_runs = 0;
  uint64_t last_chunk_offset = 0;
  // Of the last sample: as it was added, and from the first sample with every
  // gap shortened to kSampleTicksMax.
  uint64_t last_time_added = 0;
  uint64_t last_time = 0;

  friend bool operator==(const IndexCounts&, const IndexCounts&) = default;
};

class SampleIndex {
 public:
  // The counting half: small, so that it can be copied to look ahead.
  struct Counter {
    void BeginChunk(uint64_t offset);
    // Returns the ticks from the sample before.
    uint64_t Add(uint64_t time, bool keyframe);
    IndexCounts Total() const;

    IndexCounts counts;                 // Closed chunks only in chunk_runs.
    uint64_t chunk_samples = 0;         // In the open chunk.
    uint64_t closed_chunk_samples = 0;  // In the chunk before it.
  };

  // Keeps nothing: a place to move one to.
  SampleIndex() : SampleIndex(0) {}
  explicit SampleIndex(size_t memory_max);

  // The samples added from here on lie one behind the other from `offset`.
  void BeginChunk(uint64_t offset);
  // `time` must not be below that of the sample before.
  void Add(uint64_t time, uint32_t size, bool keyframe, uint16_t priority);

  // All samples are still known.
  bool complete() const { return complete_; }
  size_t memory_bytes() const { return blocks_.size() * kBlockBytes; }
  IndexCounts counts() const { return counter_.Total(); }
  const Counter& counter() const { return counter_; }

  // Walks the samples in order; the index must be complete, outlive it and not
  // change meanwhile.
  class Reader {
   public:
    explicit Reader(const SampleIndex& index) : index_(index) {}
    std::optional<IndexedSample> Next();

   private:
    uint64_t Take();

    const SampleIndex& index_;
    size_t position_ = 0;  // In the coded bytes.
    IndexedSample last_;
  };

 private:
  static constexpr size_t kBlockBytes = 64u << 10;
  using Block = std::unique_ptr<std::byte[]>;

  void Put(uint64_t value);

  size_t memory_max_;
  bool complete_ = true;
  std::vector<Block> blocks_;
  size_t coded_bytes_ = 0;
  Counter counter_;
  uint64_t chunk_offset_ = 0;  // Of the open chunk.
  bool starts_chunk_ = true;   // The next sample does.
  uint64_t end_ = 0;           // Behind the last sample.
};

}  // namespace kine::mp4
