#include "encode/mp4/sample_index.h"

#include <algorithm>

#include "daemon/base/check.h"

// One sample is three or four numbers of 7 bits a byte, low bits first:
//
//   priority << 2 | starts a chunk << 1 | keyframe
//   bytes from the end of the sample before    (only if it starts a chunk)
//   ticks from the sample before
//   size

namespace kine::mp4 {

void SampleIndex::Counter::BeginChunk(uint64_t offset) {
  if (chunk_samples != 0) {
    if (chunk_samples != closed_chunk_samples) ++counts.chunk_runs;
    closed_chunk_samples = chunk_samples;
  }
  chunk_samples = 0;
  ++counts.chunks;
  counts.last_chunk_offset = offset;
}

uint64_t SampleIndex::Counter::Add(uint64_t time, bool keyframe) {
  KINE_CHECK(counts.chunks > 0);
  uint64_t duration = 0;
  if (counts.samples > 0) {
    KINE_CHECK(time >= counts.last_time_added);
    duration = std::min(time - counts.last_time_added, kSampleTicksMax);
    if (counts.samples == 1 || duration != counts.last_run_duration)
      ++counts.duration_runs;
    counts.last_run_duration = duration;
  }
  counts.last_time_added = time;
  counts.last_time += duration;
  ++counts.samples;
  ++chunk_samples;
  if (keyframe) ++counts.keyframes;
  return duration;
}

IndexCounts SampleIndex::Counter::Total() const {
  IndexCounts total = counts;
  if (chunk_samples != closed_chunk_samples) ++total.chunk_runs;
  return total;
}

SampleIndex::SampleIndex(size_t memory_max) : memory_max_(memory_max) {}

void SampleIndex::BeginChunk(uint64_t offset) {
  counter_.BeginChunk(offset);
  chunk_offset_ = offset;
  starts_chunk_ = true;
}

void SampleIndex::Add(uint64_t time, uint32_t size, bool keyframe,
                      uint16_t priority) {
  const uint64_t duration = counter_.Add(time, keyframe);
  Put(uint64_t{priority} << 2 | (starts_chunk_ ? 2u : 0u) |
      (keyframe ? 1u : 0u));
  if (starts_chunk_) {
    Put(chunk_offset_ - end_);  // Wraps where chunks are not in order.
    end_ = chunk_offset_;
    starts_chunk_ = false;
  }
  Put(duration);
  Put(size);
  end_ += size;
}

void SampleIndex::Put(uint64_t value) {
  if (!complete_) return;
  do {
    if (coded_bytes_ == blocks_.size() * kBlockBytes) {
      if (memory_bytes() + kBlockBytes > memory_max_) {
        complete_ = false;
        blocks_.clear();
        return;
      }
      blocks_.push_back(std::make_unique<std::byte[]>(kBlockBytes));
    }
    const uint64_t low = value & 0x7f;
    value >>= 7;
    blocks_.back()[coded_bytes_ % kBlockBytes] =
        static_cast<std::byte>(low | (value != 0 ? 0x80u : 0u));
    ++coded_bytes_;
  } while (value != 0);
}

uint64_t SampleIndex::Reader::Take() {
  uint64_t value = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = static_cast<uint64_t>(
        index_.blocks_[position_ / kBlockBytes][position_ % kBlockBytes]);
    ++position_;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
}

std::optional<IndexedSample> SampleIndex::Reader::Next() {
  KINE_CHECK(index_.complete_);
  if (position_ == index_.coded_bytes_) return std::nullopt;
  const uint64_t marks = Take();
  last_.keyframe = (marks & 1) != 0;
  last_.starts_chunk = (marks & 2) != 0;
  last_.priority = static_cast<uint16_t>(marks >> 2);
  last_.offset += last_.size;
  if (last_.starts_chunk) last_.offset += Take();
  last_.time += Take();
  last_.size = static_cast<uint32_t>(Take());
  return last_;
}

}  // namespace kine::mp4
