// --view: the head of another view of a finished recording, and the map of its
// times.
#include <fcntl.h>

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/base/fd.h"
#include "daemon/base/limits.h"
#include "daemon/base/limits/views.h"
#include "daemon/base/status.h"
#include "daemon/recorder/fd_byte_source.h"
#include "daemon/recorder/one_shot_modes.h"
#include "daemon/recorder/recording_files.h"
#include "daemon/storage/blocking_io.h"
#include "daemon/storage/directory.h"
#include "encode/mp4/movie_reader.h"
#include "ipc/json_out.h"

namespace kine {
namespace {

std::string TimesJson(const std::vector<mp4::TimePoint>& points,
                      absl::string_view view) {
  // 4 h of a cursor that blinks twice a second are 28,800 points of 20 bytes.
  std::string text = absl::StrCat("{\"view\":\"", view,
                                  "\",\"time_scale\":", limits::kMediaTimeScale,
                                  ",\"points\":[");
  for (const mp4::TimePoint& point : points) {
    absl::StrAppend(&text, &point == points.data() ? "[" : ",[", point.view,
                    ",", point.media, "]");
  }
  text += "]}";
  return text;
}

absl::StatusOr<link::ViewBuilt> Build(int dir_fd, int out_fd,
                                      mp4::CompactRule rule,
                                      int64_t recorded_us) {
  KINE_ASSIGN_OR_RETURN(FinishedMovie finished,
                        ReadFinishedMovie(dir_fd, recorded_us));
  FdByteSource& source = finished.source;
  const mp4::Movie& movie = finished.movie;
  const mp4::TimedSamples& recorded = finished.recorded;
  mp4::TimedSamples compact;
  if (rule.on())
    compact = mp4::Compact(recorded.index, recorded.last_duration, movie.width,
                           movie.height, rule);
  const mp4::TimedSamples& view = rule.on() ? compact : recorded;

  const std::vector<mp4::Chapter> chapters = mp4::ChaptersIn(
      {view.index, view.last_duration, recorded.index, recorded.last_duration},
      mp4::TidyChapters(ReadChapters(dir_fd), recorded.duration()));
  KINE_ASSIGN_OR_RETURN(const mp4::ViewHead head,
                        mp4::BuildViewHead(source, movie, view, chapters));
  const std::string times = TimesJson(mp4::MapTimes(view, recorded),
                                      rule.on() ? "compact" : "realtime");
  if (head.head.size() + times.size() > limits::kViewHeadBytesMax) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the head of this view takes ", head.head.size() + times.size(),
        " bytes; at most ", limits::kViewHeadBytesMax,
        " are kept; the file's own view can be had"));
  }
  KINE_RETURN_IF_ERROR(WriteFully(out_fd, 0, head.head));
  KINE_RETURN_IF_ERROR(
      WriteFully(out_fd, head.head.size(), std::as_bytes(std::span(times))));
  link::ViewBuilt built;
  built.head_bytes = head.head.size();
  built.times_bytes = times.size();
  built.media_offset = head.media_offset;
  built.media_bytes = head.media_bytes;
  return built;
}

}  // namespace

absl::StatusOr<FinishedMovie> ReadFinishedMovie(int dir_fd,
                                                int64_t recorded_us) {
  KINE_ASSIGN_OR_RETURN(UniqueFd video,
                        OpenBeneath(dir_fd, kVideoFileName, O_RDONLY));
  KINE_ASSIGN_OR_RETURN(FdByteSource source, FdByteSource::Open(video.get()));
  KINE_ASSIGN_OR_RETURN(mp4::Movie movie,
                        mp4::ReadMovie(source, limits::kFinaliseIndexBytesMax));
  mp4::TimedSamples recorded;
  if (recorded_us > 0) {
    // Rounded down from ticks when it was told.
    const uint64_t until = (static_cast<uint64_t>(recorded_us) * 9 + 99) / 100;
    KINE_ASSIGN_OR_RETURN(recorded,
                          mp4::ReadRecordedTimes(source, movie, until));
  } else {
    recorded.index = std::move(movie.index);
    recorded.last_duration = movie.last_duration;
  }
  return FinishedMovie{std::move(video), std::move(source), std::move(movie),
                       std::move(recorded)};
}

link::ViewBuilt BuildView(int dir_fd, int out_fd, mp4::CompactRule rule,
                          int64_t recorded_us) {
  absl::StatusOr<link::ViewBuilt> built =
      Build(dir_fd, out_fd, rule, recorded_us);
  if (built.ok()) return *std::move(built);
  link::ViewBuilt failed;
  failed.error = std::string(built.status().message());
  return failed;
}

}  // namespace kine
