// Views: the same samples at other times. `realtime` is what was recorded;
// `compact` plays the stretches in which nothing happened faster. No sample is
// touched: a view is a new head (ftyp, moov, the header of an mdat) in front of
// a byte range of the finished file.
//
// Pure functions; any thread. Trust nothing in the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "encode/mp4/byte_source.h"
#include "encode/mp4/moov.h"
#include "encode/mp4/movie_reader.h"
#include "encode/mp4/sample_index.h"

namespace kine::mp4 {

// Something happens where the agent is active (see Priority()) or more than
// 1 % of the picture's macroblocks were damaged within a second: a blinking
// cursor and a clock are less. `after_ticks` behind the last of it the time
// begins to run `speed` times faster, until the next. speed 1: realtime.
struct CompactRule {
  uint64_t after_ticks = 0;
  uint32_t speed = 1;

  bool on() const { return speed > 1; }
};

// Whether something happens at one sample after another, in that sense.
class ActivityWindow {
 public:
  // Of pictures of that size.
  ActivityWindow(int width, int height);

  // Times, in ticks, do not decrease; `priority` as in a sample.
  bool Add(uint64_t time, uint16_t priority);

 private:
  uint64_t macroblocks_;
  std::deque<std::pair<uint64_t, uint64_t>> window_;  // Time, damaged.
  uint64_t damaged_ = 0;                              // In the window.
};

// Samples with their times; the last one lasts for `last_duration`.
struct TimedSamples {
  SampleIndex index;
  uint64_t last_duration = 0;

  uint64_t duration() const { return index.counts().last_time + last_duration; }
};

// The samples by the rule (which is on), of pictures of that size. `index` is
// complete. Times increase strictly.
TimedSamples Compact(const SampleIndex& index, uint64_t last_duration,
                     uint16_t width, uint16_t height, CompactRule rule);

// A time in a view and the same in the recording, in ticks. Between two points
// both run evenly; at every sample, and at the end, the map is exact.
struct TimePoint {
  uint64_t view = 0;
  uint64_t media = 0;

  friend bool operator==(const TimePoint&, const TimePoint&) = default;
};
// As few points as that takes. Both have the same number of samples, above 0.
std::vector<TimePoint> MapTimes(const TimedSamples& view,
                                const TimedSamples& media);

// Where chapters of the recording are in a view of the same samples. `view` and
// `media` lead two indexes in step.
struct TwoTimes {
  const SampleIndex& view;
  uint64_t view_last_duration;
  const SampleIndex& media;
  uint64_t media_last_duration;
};
std::vector<Chapter> ChaptersIn(const TwoTimes& times,
                                std::vector<Chapter> chapters);

// The times as they were recorded: those of the fragments, which the finished
// file still holds; its own index may be a compact one. The last sample ends at
// `until`, or where its fragment says, whichever is later. DATA_LOSS when
// fragments and index contradict each other; the errors of `source`.
absl::StatusOr<TimedSamples> ReadRecordedTimes(ByteSource& source,
                                               const Movie& movie,
                                               uint64_t until);

// `head`, then `media_bytes` of the file from `media_offset`, is the view.
struct ViewHead {
  std::vector<std::byte> head;
  uint64_t media_offset = 0;
  uint64_t media_bytes = 0;
};
// `samples` are those of `movie`, a finished recording in `source`, at the
// view's times; so are `chapters`, which are tidy. DATA_LOSS;
// RESOURCE_EXHAUSTED for an index above 4 GiB.
absl::StatusOr<ViewHead> BuildViewHead(ByteSource& source, const Movie& movie,
                                       const TimedSamples& samples,
                                       std::span<const Chapter> chapters = {});

}  // namespace kine::mp4
