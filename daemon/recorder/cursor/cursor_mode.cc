// --cursor: a cursor file in another form, or at a view's times.
#include <fcntl.h>

#include <algorithm>
#include <string>
#include <vector>

#include "daemon/base/fd.h"
#include "daemon/base/status.h"
#include "daemon/recorder/cursor/cursor_files.h"
#include "daemon/recorder/cursor/cursor_form.h"
#include "daemon/recorder/one_shot_modes.h"
#include "daemon/storage/directory.h"
#include "encode/mp4/view.h"
#include "ipc/json_out.h"

namespace kine {
namespace {

// Where a recorded time is in the view: on the line between two points.
uint64_t ViewTicks(const std::vector<mp4::TimePoint>& points, uint64_t media) {
  const auto next =
      std::ranges::upper_bound(points, media, {}, &mp4::TimePoint::media);
  if (next == points.begin()) return next->view;
  const mp4::TimePoint& from = next[-1];
  if (next == points.end()) return from.view;
  return from.view + (media - from.media) * (next->view - from.view) /
                         (next->media - from.media);
}

absl::StatusOr<uint64_t> Write(int dir_fd, int out_fd, const std::string& name,
                               mp4::CompactRule rule, int64_t recorded_us) {
  const auto form = CursorFormFromName(name);
  if (!form) return absl::InvalidArgumentError("no such form");
  KINE_ASSIGN_OR_RETURN(const UniqueFd file,
                        OpenBeneath(dir_fd, kCursorFileName, O_RDONLY));
  if (!rule.on())
    return WriteCursorForm(file.get(), out_fd, *form,
                           [](int64_t media_us) { return media_us; });
  std::vector<mp4::TimePoint> points;
  {
    KINE_ASSIGN_OR_RETURN(const FinishedMovie finished,
                          ReadFinishedMovie(dir_fd, recorded_us));
    const mp4::TimedSamples& recorded = finished.recorded;
    points = mp4::MapTimes(
        mp4::Compact(recorded.index, recorded.last_duration,
                     finished.movie.width, finished.movie.height, rule),
        recorded);
  }
  return WriteCursorForm(
      file.get(), out_fd, *form, [&points](int64_t media_us) {
        // To the tick that it was rounded down from.
        const auto media = (static_cast<uint64_t>(media_us) * 9 + 99) / 100;
        return static_cast<int64_t>(ViewTicks(points, media) * 100 / 9);
      });
}

}  // namespace

std::string CursorFormJson(int dir_fd, int out_fd, const std::string& form,
                           mp4::CompactRule rule, int64_t recorded_us) {
  const absl::StatusOr<uint64_t> bytes =
      Write(dir_fd, out_fd, form, rule, recorded_us);
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  if (bytes.ok())
    out.Field("bytes", *bytes);
  else
    out.Field("error", bytes.status().message());
  out.End();
  return text;
}

}  // namespace kine
