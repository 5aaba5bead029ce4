#include "daemon/frames/extract.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits.h"
#include "daemon/base/status.h"
#include "encode/mp4/fragment_layout.h"
#include "encode/mp4/movie_reader.h"
#include "encode/mp4/scanner.h"
#include "encode/mp4/view.h"

namespace kine::frames {
namespace {

struct Sample {
  mp4::IndexedSample at;
  int64_t number = 0;
};

// The samples of a file at the times that are asked for.
struct Track {
  mp4::SampleIndex index{0};
  uint32_t time_scale = limits::kMediaTimeScale;
  std::optional<uint64_t> end;  // In ticks; none while it grows.
};

int64_t MicrosOf(const Track& track, uint64_t ticks) {
  const uint64_t scale = std::max(track.time_scale, 1u);
  return static_cast<int64_t>(ticks / scale * 1'000'000 +
                              ticks % scale * 1'000'000 / scale);
}

absl::StatusOr<Track> ReadFinished(mp4::ByteSource& file,
                                   const ExtractRequest& request) {
  KINE_ASSIGN_OR_RETURN(mp4::Movie movie,
                        mp4::ReadMovie(file, limits::kFinaliseIndexBytesMax));
  Track track;
  track.time_scale = movie.time_scale;
  if (request.recorded_us == 0) {
    track.index = std::move(movie.index);
    track.end = movie.duration_ticks;
    return track;
  }
  // Rounded down from ticks when it was told.
  const uint64_t until =
      (static_cast<uint64_t>(request.recorded_us) * 9 + 99) / 100;
  KINE_ASSIGN_OR_RETURN(mp4::TimedSamples recorded,
                        mp4::ReadRecordedTimes(file, movie, until));
  track.end = recorded.duration();
  track.index = std::move(recorded.index);
  return track;
}

absl::StatusOr<Track> ReadTrack(mp4::ByteSource& file,
                                const ExtractRequest& request) {
  mp4::ScanOptions options;
  options.durable_bytes = request.durable_bytes;
  options.index_memory_max = limits::kFinaliseIndexBytesMax;
  KINE_ASSIGN_OR_RETURN(mp4::ScanResult scan, mp4::Scan(file, options));
  if (scan.state == mp4::ScanResult::State::kGrowing) {
    Track track;
    track.index = std::move(scan.file.index);
    return track;
  }
  // The room for an index is there from the first write on.
  if (scan.state == mp4::ScanResult::State::kNoFrame &&
      (file.size() == 0 || scan.file.header.reserve_bytes > 0))
    return absl::FailedPreconditionError(
        "no whole fragment of the recording is in its file yet");
  return ReadFinished(file, request);
}

bool WantsOne(const ExtractRequest& request) {
  return request.at_us.has_value() || request.busiest;
}

int64_t BusiestOf(const Track& track) {
  int64_t busiest = 0;
  uint16_t most = 0;
  mp4::SampleIndex::Reader reader(track.index);
  for (int64_t number = 0; const auto sample = reader.Next(); ++number) {
    const uint16_t damage = mp4::DamageOf(sample->priority);
    if (number == 0 || damage < most) continue;
    busiest = number;
    most = damage;
  }
  return busiest;
}

int64_t ShownAt(const Track& track, int64_t at_us) {
  int64_t shown = 0;
  mp4::SampleIndex::Reader reader(track.index);
  for (int64_t number = 0; const auto sample = reader.Next(); ++number)
    if (MicrosOf(track, sample->time) <= at_us) shown = number;
  return shown;
}

// All, or those from the keyframe before the one that is wanted up to it.
absl::StatusOr<std::vector<Sample>> SamplesFor(const Track& track,
                                               const ExtractRequest& request) {
  const std::optional<int64_t>& at_us = request.at_us;
  if (at_us.has_value() && track.end.has_value() &&
      *at_us > MicrosOf(track, *track.end))
    return absl::OutOfRangeError(absl::StrCat(
        "the recording ends at ", MicrosOf(track, *track.end), " us"));
  std::optional<int64_t> wanted;
  if (at_us.has_value()) wanted = ShownAt(track, *at_us);
  if (request.busiest) wanted = BusiestOf(track);
  std::vector<Sample> samples;
  mp4::SampleIndex::Reader reader(track.index);
  for (int64_t number = 0; const auto sample = reader.Next(); ++number) {
    if (wanted.has_value() && number > *wanted) break;
    if (wanted.has_value() && sample->keyframe) samples.clear();
    if (sample->size > limits::kPacketBytesMax)
      return absl::ResourceExhaustedError(
          absl::StrCat("sample ", number, " has ", sample->size,
                       " bytes, the limit is ", limits::kPacketBytesMax));
    samples.push_back({*sample, number});
  }
  if (samples.empty()) return absl::DataLossError("the file has no sample");
  return samples;
}

// Hands out what the decoder gives, with the time of the sample it came from.
class Handout {
 public:
  Handout(const Track& track, const std::vector<Sample>& samples,
          const ExtractRequest& request,
          absl::FunctionRef<absl::Status(const Extracted&)> sink)
      : track_(track), samples_(samples), request_(request), sink_(sink) {}

  absl::Status Give(const DecodedPicture& picture) {
    const int64_t first = samples_.front().number;
    const int64_t last = samples_.back().number;
    if (picture.number < first || picture.number > last)
      return absl::DataLossError("the decoder lost count of its samples");
    if (WantsOne(request_) && picture.number != last) return absl::OkStatus();
    const Sample& sample =
        samples_[static_cast<size_t>(picture.number - first)];
    Extracted out;
    out.picture = picture;
    CutPadding(request_.true_width, out.picture.width);
    CutPadding(request_.true_height, out.picture.height);
    out.time_us = MicrosOf(track_, sample.at.time);
    out.keyframe = sample.at.keyframe;
    ++given_;
    return sink_(out);
  }

  size_t given() const { return given_; }

 private:
  // An odd size was made even by one more row or column.
  static void CutPadding(int wanted, int& size) {
    if (wanted != 0 && size == wanted + 1) size = wanted;
  }

  const Track& track_;
  const std::vector<Sample>& samples_;
  const ExtractRequest& request_;
  absl::FunctionRef<absl::Status(const Extracted&)> sink_;
  size_t given_ = 0;
};

}  // namespace

absl::Status Extract(mp4::ByteSource& file, const ExtractRequest& request,
                     absl::FunctionRef<absl::Status(const Extracted&)> sink) {
  KINE_ASSIGN_OR_RETURN(const Track track, ReadTrack(file, request));
  KINE_ASSIGN_OR_RETURN(const std::vector<Sample> samples,
                        SamplesFor(track, request));
  KINE_ASSIGN_OR_RETURN(H264Decoder decoder, H264Decoder::Create());
  Handout handout(track, samples, request, sink);
  const auto give = [&handout](const DecodedPicture& picture) {
    return handout.Give(picture);
  };
  std::vector<std::byte> bytes;
  for (const Sample& sample : samples) {
    bytes.resize(sample.at.size);
    KINE_ASSIGN_OR_RETURN(const size_t read,
                          file.ReadAt(sample.at.offset, bytes));
    if (read != bytes.size())
      return absl::DataLossError("the file ends within a sample");
    KINE_RETURN_IF_ERROR(decoder.Decode(bytes, sample.number, give));
  }
  KINE_RETURN_IF_ERROR(decoder.Flush(give));
  const size_t wanted = WantsOne(request) ? 1 : samples.size();
  if (handout.given() != wanted)
    return absl::DataLossError(
        absl::StrCat("decoded ", handout.given(), " of ", wanted, " pictures"));
  return absl::OkStatus();
}

}  // namespace kine::frames
