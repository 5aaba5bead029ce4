#include "daemon/timeline/timeline.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits.h"
#include "daemon/base/limits/timeline.h"
#include "ipc/problem.h"

namespace kine {

void Timeline::AddMarker(Marker marker) {
  if (markers_.size() < limits::kMarkersMax)
    markers_.push_back(std::move(marker));
}

void Timeline::AddCommand(CommandSpan command) {
  if (commands_.size() < limits::kCommandChaptersMax)
    commands_.push_back(std::move(command));
}

void Timeline::EndCommand(const CommandSpan& end) {
  // An id may come again after its receipt has expired: the newest is meant.
  const auto it = std::find_if(
      commands_.rbegin(), commands_.rend(), [&](const CommandSpan& command) {
        return command.process == end.process && !command.end_media_us;
      });
  if (it == commands_.rend()) return;
  it->end_media_us = end.end_media_us;
  it->outcome = end.outcome;
  it->code = end.code;
}

void Timeline::AddPause(PauseSpan pause) {
  if (pauses_.size() < limits::kPausesMax) pauses_.push_back(pause);
}

void Timeline::EndPause(int64_t paused_us) {
  if (!pauses_.empty() && !pauses_.back().paused_us)
    pauses_.back().paused_us = paused_us;
}

void Timeline::AddGap(GapSpan gap) {
  if (gaps_.size() < limits::kGapsShownMax) gaps_.push_back(std::move(gap));
}

void Timeline::EndGap(int64_t media_us) {
  if (!gaps_.empty() && !gaps_.back().end_media_us)
    gaps_.back().end_media_us = media_us;
}

int64_t Timeline::MediaAt(int64_t elapsed_us) const {
  int64_t paused = 0;
  for (const PauseSpan& pause : pauses_) {
    if (elapsed_us - paused <= pause.media_us) break;
    if (!pause.paused_us ||
        elapsed_us - paused <= pause.media_us + *pause.paused_us)
      return pause.media_us;
    paused += *pause.paused_us;
  }
  return elapsed_us - paused;
}

int64_t Timeline::ElapsedAt(int64_t media_us) const {
  int64_t paused = 0;
  for (const PauseSpan& pause : pauses_) {
    if (media_us <= pause.media_us) break;
    paused += pause.paused_us.value_or(0);
  }
  return media_us + paused;
}

absl::StatusOr<int64_t> Timeline::Place(const MarkerRequest& request,
                                        const MediaClock& clock) const {
  const int64_t now_us =
      clock.now_mono_us && clock.first_frame_mono_us
          ? std::max<int64_t>(
                0, MediaAt(*clock.now_mono_us - *clock.first_frame_mono_us))
          : clock.end_us;
  const char* field = "at_media_us";
  int64_t media_us = now_us;
  if (request.at_media_us) {
    media_us = *request.at_media_us;
  } else if (request.at) {
    field = "at";
    const int64_t elapsed =
        absl::ToInt64Microseconds(*request.at - clock.first_frame_at);
    media_us = elapsed < 0 ? elapsed : MediaAt(elapsed);
  } else if (request.at_mono_us) {
    field = "at_mono_us";
    if (!clock.first_frame_mono_us)
      return FieldError(field,
                        "is of another run of the daemon; give at or "
                        "at_media_us");
    const int64_t elapsed = *request.at_mono_us - *clock.first_frame_mono_us;
    media_us = elapsed < 0 ? elapsed : MediaAt(elapsed);
  } else if (!clock.now_mono_us) {
    return FieldError(field,
                      "is missing: the recording has ended, so say which "
                      "moment is meant (or by at)");
  }
  if (media_us < 0)
    return FieldError(
        field, absl::StrCat("lies ", -media_us, " us before the first frame"));
  if (media_us > now_us)
    return FieldError(field,
                      absl::StrCat("lies ", media_us - now_us, " us after the ",
                                   clock.now_mono_us ? "present" : "end",
                                   ", which is ", now_us, " us of media time"));
  return media_us;
}

absl::StatusOr<Timeline::Accepted> Timeline::Accept(
    const MarkerRequest& request, const std::string& key,
    const MediaClock& clock) const {
  const std::string text = key.empty() ? "" : ToJson(request);
  if (!key.empty()) {
    const auto same = std::ranges::find(markers_, key, &Marker::key);
    if (same != markers_.end()) {
      if (same->request == text) return Accepted{*same, true};
      return WithProblem(
          FieldError("Idempotency-Key",
                     absl::StrCat("has set another marker, number ",
                                  same->number, "; choose another key")),
          409, "different_request");
    }
  }
  if (markers_.size() >= limits::kMarkersMax)
    return absl::ResourceExhaustedError(
        absl::StrCat("limit markers (", limits::kMarkersMax,
                     ") of this recording is reached: what happens from here "
                     "on is marked in another recording"));
  absl::StatusOr<int64_t> media_us = Place(request, clock);
  if (!media_us.ok()) return media_us.status();
  Accepted accepted;
  Marker& marker = accepted.marker;
  marker.number = static_cast<int64_t>(markers_.size()) + 1;
  marker.label = request.label;
  marker.kind = request.kind;
  marker.media_us = *media_us;
  marker.wall_us = absl::ToUnixMicros(clock.first_frame_at +
                                      absl::Microseconds(ElapsedAt(*media_us)));
  marker.duration_us = request.duration_us;
  marker.attributes = request.attributes;
  marker.key = key;
  marker.request = text;
  return accepted;
}

std::vector<TimelineChapter> Timeline::Chapters(int64_t end_us) const {
  struct Timed {
    TimelineChapter chapter;
    std::optional<int64_t> own_end_us;
  };
  std::vector<Timed> timed;
  for (const Marker& marker : markers_) {
    timed.push_back({{marker.media_us, 0, marker.label}, {}});
    if (marker.duration_us)
      timed.back().own_end_us = marker.media_us + *marker.duration_us;
  }
  for (const CommandSpan& command : commands_) {
    std::string title = absl::StrCat("$ ", command.command);
    if (!command.outcome.empty())
      absl::StrAppend(&title, " (", command.outcome, ")");
    timed.push_back(
        {{command.media_us, 0, std::move(title)}, command.end_media_us});
  }
  std::stable_sort(timed.begin(), timed.end(),
                   [](const Timed& a, const Timed& b) {
                     return a.chapter.media_us < b.chapter.media_us;
                   });
  std::vector<TimelineChapter> chapters;
  for (size_t i = 0; i < timed.size(); ++i) {
    TimelineChapter& chapter = timed[i].chapter;
    const int64_t next =
        i + 1 < timed.size() ? timed[i + 1].chapter.media_us : end_us;
    chapter.end_us =
        std::max(chapter.media_us, timed[i].own_end_us.value_or(next));
    chapters.push_back(std::move(chapter));
  }
  return chapters;
}

}  // namespace kine
