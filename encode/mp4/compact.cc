// Views: the mapping of times.
#include <algorithm>
#include <utility>

#include "daemon/base/check.h"
#include "daemon/base/limits.h"
#include "encode/mp4/view.h"

namespace kine::mp4 {
namespace {

constexpr uint64_t kWindowTicks = limits::kMediaTimeScale;  // A second.
constexpr uint64_t kActiveShare = 100;  // One in so many macroblocks.
constexpr uint16_t kAgentBit = 0x8000;
constexpr int kMacroblockSide = 16;

// The stretches in which time runs faster, in order.
struct Stretch {
  uint64_t begin = 0;
  uint64_t end = 0;
};

std::vector<Stretch> FindIdle(const SampleIndex& index, uint64_t end,
                              ActivityWindow activity, uint64_t after) {
  std::vector<Stretch> idle;
  uint64_t quiet_since = 0;  // The first picture is something, too.
  const auto until = [&](uint64_t time) {
    if (time > quiet_since && time - quiet_since > after)
      idle.push_back({quiet_since + after, time});
  };
  SampleIndex::Reader reader(index);
  while (const auto sample = reader.Next()) {
    if (!activity.Add(sample->time, sample->priority)) continue;
    until(sample->time);
    quiet_since = sample->time;
  }
  until(end);
  return idle;
}

// Recorded to compact time; asked with times that do not decrease.
class FasterClock {
 public:
  FasterClock(std::vector<Stretch> idle, uint32_t speed)
      : idle_(std::move(idle)), speed_(speed) {}

  uint64_t At(uint64_t time) {
    while (next_ < idle_.size() && idle_[next_].end <= time) {
      saved_ += Saved(idle_[next_].end - idle_[next_].begin);
      ++next_;
    }
    uint64_t saved = saved_;
    if (next_ < idle_.size() && idle_[next_].begin < time)
      saved += Saved(time - idle_[next_].begin);
    return time - saved;
  }

 private:
  uint64_t Saved(uint64_t ticks) const { return ticks - ticks / speed_; }

  const std::vector<Stretch> idle_;
  const uint32_t speed_;
  size_t next_ = 0;
  uint64_t saved_ = 0;
};

}  // namespace

ActivityWindow::ActivityWindow(int width, int height)
    : macroblocks_(static_cast<uint64_t>((width + kMacroblockSide - 1) /
                                         kMacroblockSide) *
                   static_cast<uint64_t>((height + kMacroblockSide - 1) /
                                         kMacroblockSide)) {}

bool ActivityWindow::Add(uint64_t time, uint16_t priority) {
  while (!window_.empty() && window_.front().first + kWindowTicks <= time) {
    damaged_ -= window_.front().second;
    window_.pop_front();
  }
  const uint64_t damaged = priority & (kAgentBit - 1u);
  if (damaged > 0) window_.emplace_back(time, damaged);
  damaged_ += damaged;
  // Without damage (a keyframe, a refinement) the screen is as it was.
  return (priority & kAgentBit) != 0 ||
         (damaged > 0 && damaged_ * kActiveShare > macroblocks_);
}

TimedSamples Compact(const SampleIndex& index, uint64_t last_duration,
                     uint16_t width, uint16_t height, CompactRule rule) {
  KINE_CHECK(rule.on() && index.complete());
  const uint64_t end = index.counts().last_time + last_duration;
  FasterClock clock(
      FindIdle(index, end, ActivityWindow(width, height), rule.after_ticks),
      rule.speed);
  TimedSamples out;
  // Shorter times take no more room than those they come from.
  out.index = SampleIndex(SIZE_MAX);
  SampleIndex::Reader reader(index);
  bool first = true;
  uint64_t last = 0;
  while (const auto sample = reader.Next()) {
    // Two of them must not fall on one tick.
    last = first ? clock.At(sample->time)
                 : std::max(last + 1, clock.At(sample->time));
    first = false;
    if (sample->starts_chunk) out.index.BeginChunk(sample->offset);
    out.index.Add(last, sample->size, sample->keyframe, sample->priority);
  }
  out.last_duration = std::max(last + 1, clock.At(end)) - last;
  return out;
}

std::vector<Chapter> ChaptersIn(const TwoTimes& times,
                                std::vector<Chapter> chapters) {
  const uint64_t view_end =
      times.view.counts().last_time + times.view_last_duration;
  SampleIndex::Reader view_reader(times.view);
  SampleIndex::Reader media_reader(times.media);
  TimePoint from;
  TimePoint to;
  const auto advance = [&] {
    from = to;
    const auto view = view_reader.Next();
    const auto media = media_reader.Next();
    to.view = view ? view->time : view_end;
    to.media = media
                   ? media->time
                   : times.media.counts().last_time + times.media_last_duration;
    return view.has_value();
  };
  bool more = true;
  for (Chapter& chapter : chapters) {
    while (more && to.media <= chapter.time) more = advance();
    const uint64_t media = to.media - from.media;
    const uint64_t past = std::min(chapter.time - from.media, media);
    chapter.time =
        media == 0 ? to.view : from.view + past * (to.view - from.view) / media;
  }
  return TidyChapters(std::move(chapters), view_end);
}

std::vector<TimePoint> MapTimes(const TimedSamples& view,
                                const TimedSamples& media) {
  std::vector<TimePoint> points;
  SampleIndex::Reader view_reader(view.index);
  SampleIndex::Reader media_reader(media.index);
  TimePoint last;
  const auto add = [&](TimePoint point) {
    if (points.empty()) {
      points.push_back(point);
    } else if (point.media - point.view != last.media - last.view) {
      // Up to the one before, time ran as it was recorded.
      if (points.back() != last) points.push_back(last);
      points.push_back(point);
    }
    last = point;
  };
  while (const auto sample = view_reader.Next()) {
    const auto same = media_reader.Next();
    KINE_CHECK(same.has_value());
    add({sample->time, same->time});
  }
  KINE_CHECK(!media_reader.Next().has_value() && !points.empty());
  add({view.duration(), media.duration()});
  if (points.back() != last) points.push_back(last);
  return points;
}

}  // namespace kine::mp4
