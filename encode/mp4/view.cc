#include "encode/mp4/view.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits.h"
#include "daemon/base/status.h"
#include "encode/mp4/box_reader.h"
#include "encode/mp4/box_writer.h"
#include "encode/mp4/fragment_layout.h"
#include "encode/mp4/moov.h"

namespace kine::mp4 {
namespace {

// Ours has 32 bytes.
constexpr uint64_t kFtypBytesMax = 4096;

absl::StatusOr<std::vector<std::byte>> ReadExactly(ByteSource& source,
                                                   uint64_t offset,
                                                   uint64_t bytes) {
  std::vector<std::byte> data(static_cast<size_t>(bytes));
  KINE_ASSIGN_OR_RETURN(const size_t got, source.ReadAt(offset, data));
  if (got != data.size())
    return absl::DataLossError(
        absl::StrCat("the file ends within the box at ", offset));
  return data;
}

absl::StatusOr<std::vector<std::byte>> ReadFtyp(ByteSource& source) {
  std::byte header[kBoxHeaderBytesMax];
  KINE_ASSIGN_OR_RETURN(const size_t got, source.ReadAt(0, header));
  const std::optional<BoxHeader> box =
      ParseBoxHeader(std::span(header).first(got));
  if (!box || box->type != FourCc("ftyp") || box->size > kFtypBytesMax)
    return absl::DataLossError("the file does not begin with an ftyp");
  return ReadExactly(source, 0, box->size);
}

// The samples of one chunk, as the index has them.
absl::Status TakeRecordedTimes(ByteSource& source,
                               std::span<const IndexedSample> chunk,
                               SampleIndex& out, uint64_t& end) {
  const uint64_t moof_bytes = MoofBytes(chunk.size());
  const uint64_t before = moof_bytes + kMdatHeaderBytes;
  const uint64_t first = chunk.front().offset;
  if (first < before || moof_bytes > kMoofBytesMax)
    return absl::DataLossError("a chunk that is no fragment");
  KINE_ASSIGN_OR_RETURN(const std::vector<std::byte> bytes,
                        ReadExactly(source, first - before, moof_bytes));
  KINE_ASSIGN_OR_RETURN(const ParsedMoof moof, ParseMoof(bytes));
  // A fragment may have been closed after its next one's first picture was
  // taken, so its own end says nothing: as in Scan(), times go forward.
  const IndexCounts before_it = out.counts();
  if (!moof.crc_good || moof.samples.size() != chunk.size() ||
      (before_it.samples > 0 && moof.decode_time <= before_it.last_time_added))
    return absl::DataLossError(absl::StrCat("the fragment at ", first - before,
                                            " is not what the index says"));
  uint64_t time = moof.decode_time;
  out.BeginChunk(first);
  for (size_t i = 0; i < chunk.size(); ++i) {
    if (moof.samples[i].size != chunk[i].size)
      return absl::DataLossError(absl::StrCat(
          "the fragment at ", first - before, " has other samples"));
    out.Add(time, chunk[i].size, chunk[i].keyframe, chunk[i].priority);
    time += moof.samples[i].duration;
  }
  end = time;
  return absl::OkStatus();
}

// `samples` with every offset moved by `by`.
SampleIndex Moved(const SampleIndex& samples, uint64_t by) {
  SampleIndex out(SIZE_MAX);
  SampleIndex::Reader reader(samples);
  while (const auto sample = reader.Next()) {
    if (sample->starts_chunk) out.BeginChunk(sample->offset + by);
    out.Add(sample->time, sample->size, sample->keyframe, sample->priority);
  }
  return out;
}

struct Range {
  uint64_t begin = std::numeric_limits<uint64_t>::max();
  uint64_t end = 0;
};

Range MediaRange(const SampleIndex& samples) {
  Range range;
  SampleIndex::Reader reader(samples);
  while (const auto sample = reader.Next()) {
    range.begin = std::min(range.begin, sample->offset);
    range.end = std::max(range.end, sample->offset + sample->size);
  }
  return range;
}

}  // namespace

absl::StatusOr<TimedSamples> ReadRecordedTimes(ByteSource& source,
                                               const Movie& movie,
                                               uint64_t until) {
  TimedSamples out;
  out.index = SampleIndex(SIZE_MAX);
  std::vector<IndexedSample> chunk;
  uint64_t end = 0;
  SampleIndex::Reader reader(movie.index);
  for (;;) {
    const std::optional<IndexedSample> sample = reader.Next();
    if (!chunk.empty() && (!sample || sample->starts_chunk)) {
      KINE_RETURN_IF_ERROR(TakeRecordedTimes(source, chunk, out.index, end));
      chunk.clear();
    }
    if (!sample) break;
    chunk.push_back(*sample);
  }
  const IndexCounts counts = out.index.counts();
  if (counts.samples == 0) return absl::DataLossError("no sample");
  out.last_duration = std::clamp<uint64_t>(
      std::max(until, end) - counts.last_time_added, 1, kSampleTicksMax);
  return out;
}

absl::StatusOr<ViewHead> BuildViewHead(ByteSource& source, const Movie& movie,
                                       const TimedSamples& samples,
                                       std::span<const Chapter> chapters) {
  if (movie.time_scale != limits::kMediaTimeScale ||
      samples.index.counts().samples == 0)
    return absl::DataLossError("the file is no recording of ours");
  ViewHead out;
  KINE_ASSIGN_OR_RETURN(out.head, ReadFtyp(source));
  const Range media = MediaRange(samples.index);
  out.media_offset = media.begin;
  out.media_bytes = media.end - media.begin;

  FileHeader header;
  header.width = movie.width;
  header.height = movie.height;
  header.stsd = movie.stsd;
  // The size of the moov depends on where the samples lie, but only on which
  // side of 4 GiB: what fits behind the larger one fits.
  const std::vector<std::byte> texts = ChapterTexts(chapters);
  SampleIndex moved = Moved(samples.index, 0);
  uint64_t moov_bytes = 0;
  uint64_t front = 0;
  for (int i = 0; i < 3; ++i) {
    const uint64_t bytes = FinishedMoovBytes(header, moved.counts(),
                                             samples.last_duration, chapters);
    if (i > 0 && bytes == moov_bytes) break;
    if (bytes > std::numeric_limits<uint32_t>::max())
      return absl::ResourceExhaustedError("an index above 4 GiB");
    moov_bytes = bytes;
    front = out.head.size() + moov_bytes + TextBoxBytes(texts.size()) +
            kLargeMdatHeaderBytes;
    moved = Moved(samples.index, front - media.begin);  // May wrap.
  }
  const std::vector<std::byte> moov =
      BuildFinishedMoov(header, moved, samples.last_duration, chapters,
                        out.head.size() + moov_bytes + kTextBoxHeaderBytes);
  if (moov.size() != moov_bytes)
    return absl::ResourceExhaustedError("samples on both sides of 4 GiB");
  BoxWriter w(out.head);
  w.Bytes(moov);
  WriteTextBox(w, texts);
  w.U32(1);
  w.Text("mdat");
  w.U64(kLargeMdatHeaderBytes + out.media_bytes);
  return out;
}

}  // namespace kine::mp4
