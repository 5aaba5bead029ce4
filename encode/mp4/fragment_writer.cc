#include "encode/mp4/fragment_writer.h"

#include <algorithm>
#include <utility>

#include "daemon/base/check.h"
#include "encode/mp4/moov.h"

namespace kine::mp4 {

FragmentWriter::FragmentWriter(FileHeader header, size_t index_memory_max,
                               bool retimed)
    : header_(std::move(header)),
      retimed_(retimed),
      index_(index_memory_max),
      end_(header_.fragments_offset()) {}

uint64_t FragmentWriter::TimeFor(uint64_t asked) const {
  if (samples_added_ == 0) return asked;
  return std::max(asked, last_time_ + 1);
}

void FragmentWriter::Add(Sample sample) {
  KINE_CHECK(sample.data != nullptr && !sample.data->empty());
  KINE_CHECK(sample.keyframe || samples_added_ > 0);
  sample.time = TimeFor(sample.time);
  last_time_ = sample.time;
  payload_bytes_ += sample.data->size();
  ++samples_added_;
  samples_.push_back(std::move(sample));
}

Fragment FragmentWriter::Close(uint64_t until) {
  KINE_CHECK(!samples_.empty());
  Fragment fragment;
  fragment.offset = end_;
  fragment.first_time = samples_.front().time;
  fragment.until = std::max(until, last_time_ + 1);
  fragment.samples = static_cast<uint32_t>(samples_.size());
  fragment.starts_with_keyframe = samples_.front().keyframe;
  fragment.bytes = BuildFragment(sequence_++, samples_, fragment.until);

  index_.BeginChunk(end_ + MoofBytes(samples_.size()) + kMdatHeaderBytes);
  for (const Sample& sample : samples_) {
    index_.Add(sample.time, static_cast<uint32_t>(sample.data->size()),
               sample.keyframe, sample.priority);
  }
  end_ = fragment.end();
  samples_.clear();
  payload_bytes_ = 0;
  return fragment;
}

uint64_t FragmentWriter::FinishedBytesWith(const Sample& sample) const {
  return FinishedBytesOf(&sample);
}

uint64_t FragmentWriter::FinishedBytes() const {
  return FinishedBytesOf(nullptr);
}

uint64_t FragmentWriter::FinishedBytesOf(const Sample* extra) const {
  SampleIndex::Counter counter = index_.counter();
  uint64_t end = end_;
  const size_t samples = samples_.size() + (extra != nullptr ? 1 : 0);
  if (samples > 0) {
    const uint64_t moof_and_header = MoofBytes(samples) + kMdatHeaderBytes;
    counter.BeginChunk(end + moof_and_header);
    for (const Sample& sample : samples_)
      (void)counter.Add(sample.time, sample.keyframe);
    end += moof_and_header + payload_bytes_;
    if (extra != nullptr) {
      (void)counter.Add(TimeFor(extra->time), extra->keyframe);
      end += extra->data->size();
    }
  }
  IndexCounts counts = counter.Total();
  if (retimed_) counts.duration_runs = counts.samples;
  return FinishedFileBytes(header_, end, FinishedMoovBytesMax(header_, counts));
}

FileMap FragmentWriter::TakeFile() && {
  KINE_CHECK(samples_.empty());
  return FileMap{std::move(header_), std::move(index_), end_};
}

}  // namespace kine::mp4
