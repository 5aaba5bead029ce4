#include "encode/mp4/movie_reader.h"

#include <optional>
#include <span>

#include "absl/strings/str_cat.h"
#include "daemon/base/status.h"
#include "encode/mp4/box_reader.h"
#include "encode/mp4/track_reader.h"

namespace kine::mp4 {
namespace {

// A finished recording has four boxes at most; other writers have a few more.
constexpr int kBoxesMax = 4096;

struct Place {
  uint64_t offset = 0;
  BoxHeader header;
};

// The first moov of the file, with its real size.
absl::StatusOr<Place> FindMoov(ByteSource& source) {
  uint64_t offset = 0;
  for (int i = 0; i < kBoxesMax && offset < source.size(); ++i) {
    std::byte buffer[kBoxHeaderBytesMax];
    KINE_ASSIGN_OR_RETURN(const size_t got, source.ReadAt(offset, buffer));
    std::optional<BoxHeader> box = ParseBoxHeader(std::span(buffer).first(got));
    const uint64_t left = source.size() - offset;
    if (box && box->size == 0) box->size = left;
    if (!box || box->size > left || box->size < box->header_bytes) {
      return absl::DataLossError(
          absl::StrCat("the box at ", offset, " does not fit the file"));
    }
    if (box->type == FourCc("moov")) return Place{offset, *box};
    offset += box->size;
  }
  return absl::DataLossError("no moov");
}

}  // namespace

absl::StatusOr<Movie> ReadMovie(ByteSource& source, size_t memory_max) {
  KINE_ASSIGN_OR_RETURN(const Place place, FindMoov(source));
  if (place.header.size > memory_max) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "a moov of ", place.header.size, " bytes: more than ", memory_max));
  }
  std::vector<std::byte> moov(static_cast<size_t>(place.header.size));
  KINE_ASSIGN_OR_RETURN(const size_t got, source.ReadAt(place.offset, moov));
  if (got != moov.size()) return absl::DataLossError("moov cut short");
  const auto payload =
      std::span<const std::byte>(moov).subspan(place.header.header_bytes);
  if (FindBox(payload, FourCc("mvex")))
    return absl::DataLossError("the recording is not finished");
  const std::optional<TrackDescription> track = ParseVideoTrack(payload);
  if (!track) return absl::DataLossError("no video track");

  Movie movie;
  movie.width = track->width;
  movie.height = track->height;
  movie.time_scale = track->time_scale;
  movie.duration_ticks = track->duration;
  movie.moov_offset = place.offset;
  movie.moov_bytes = place.header.size;
  movie.stsd.assign(track->stsd.begin(), track->stsd.end());
  movie.index = SampleIndex(memory_max);
  KINE_RETURN_IF_ERROR(ReadSampleTables(track->stbl, source.size(), movie.index,
                                        movie.last_duration));
  movie.chapters = CountChapters(payload);
  return movie;
}

}  // namespace kine::mp4
