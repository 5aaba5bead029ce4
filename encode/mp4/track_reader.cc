#include "encode/mp4/track_reader.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "daemon/base/status.h"
#include "encode/mp4/box_reader.h"

namespace kine::mp4 {
namespace {

absl::Status Contradiction(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("sample tables: ", what));
}

std::optional<TrackDescription> ParseTrack(std::span<const std::byte> trak) {
  const std::optional<Box> tkhd = FindBox(trak, FourCc("tkhd"));
  const std::optional<Box> mdia = FindBox(trak, FourCc("mdia"));
  if (!tkhd || !mdia) return std::nullopt;
  const std::optional<Box> mdhd = FindBox(mdia->payload, FourCc("mdhd"));
  const std::optional<Box> hdlr = FindBox(mdia->payload, FourCc("hdlr"));
  const std::optional<Box> minf = FindBox(mdia->payload, FourCc("minf"));
  if (!mdhd || !hdlr || !minf) return std::nullopt;
  const std::optional<Box> stbl = FindBox(minf->payload, FourCc("stbl"));
  if (!stbl) return std::nullopt;
  const std::optional<Box> stsd = FindBox(stbl->payload, FourCc("stsd"));
  if (!stsd) return std::nullopt;

  ByteReader handler(hdlr->payload);
  handler.Skip(8);
  if (handler.U32() != FourCc("vide")) return std::nullopt;

  TrackDescription track;
  track.stsd = stsd->whole;
  track.stbl = stbl->payload;
  ByteReader media(mdhd->payload);
  const uint8_t version = media.U8();
  media.Skip(3);
  media.Versioned(version);
  media.Versioned(version);
  track.time_scale = media.U32();
  track.duration = media.Versioned(version);
  ByteReader size(tkhd->payload);
  size.Skip(tkhd->payload.size() - std::min<size_t>(8, tkhd->payload.size()));
  track.width = static_cast<uint16_t>(size.U32() >> 16);
  track.height = static_cast<uint16_t>(size.U32() >> 16);
  if (!media.ok() || !size.ok()) return std::nullopt;
  return track;
}

// A table behind its version and flags; empty when the box is missing.
std::optional<ByteReader> Table(std::span<const std::byte> stbl, BoxType type) {
  const std::optional<Box> box = FindBox(stbl, type);
  if (!box) return std::nullopt;
  ByteReader reader(box->payload);
  reader.Skip(4);
  return reader;
}

// stts: the duration of one sample after another.
class Durations {
 public:
  explicit Durations(ByteReader reader) : reader_(reader) { reader_.Skip(4); }
  // Nothing when the table is at its end.
  std::optional<uint32_t> Next() {
    while (left_ == 0) {
      if (reader_.left() < 8) return std::nullopt;
      left_ = reader_.U32();
      duration_ = reader_.U32();
    }
    --left_;
    return duration_;
  }

 private:
  ByteReader reader_;
  uint32_t left_ = 0;
  uint32_t duration_ = 0;
};

// stsc: how many samples one chunk after another has.
class ChunkSamples {
 public:
  explicit ChunkSamples(ByteReader reader) : reader_(reader) {
    reader_.Skip(4);
    Load();
  }
  uint32_t Next() {
    ++chunk_;
    if (chunk_ >= next_first_) {
      samples_ = next_samples_;
      Load();
    }
    return samples_;
  }

 private:
  void Load() {
    if (reader_.left() < 12) {
      next_first_ = UINT64_MAX;
      return;
    }
    next_first_ = reader_.U32();
    next_samples_ = reader_.U32();
    reader_.Skip(4);
  }

  ByteReader reader_;
  uint64_t chunk_ = 0;
  uint32_t samples_ = 0;
  uint64_t next_first_ = 0;
  uint32_t next_samples_ = 0;
};

// stss: whether one sample after another is a sync sample.
class SyncSamples {
 public:
  explicit SyncSamples(std::optional<ByteReader> reader) : reader_(reader) {
    if (!reader_) return;
    reader_->Skip(4);
    next_ = reader_->left() >= 4 ? reader_->U32() : 0;
  }
  bool Next() {
    ++sample_;
    if (!reader_) return true;
    if (sample_ != next_) return false;
    next_ = reader_->left() >= 4 ? reader_->U32() : 0;
    return true;
  }

 private:
  std::optional<ByteReader> reader_;
  uint64_t sample_ = 0;
  uint64_t next_ = 0;
};

// stsz: the size of one sample after another.
class Sizes {
 public:
  explicit Sizes(ByteReader reader) : reader_(reader) {
    all_ = reader_.U32();
    count_ = reader_.U32();
  }
  uint32_t count() const { return count_; }
  uint32_t Next() { return all_ != 0 ? all_ : reader_.U32(); }
  bool ok() const { return reader_.ok(); }

 private:
  ByteReader reader_;
  uint32_t all_ = 0;
  uint32_t count_ = 0;
};

}  // namespace

std::optional<TrackDescription> ParseVideoTrack(
    std::span<const std::byte> moov_payload) {
  BoxCursor cursor(moov_payload);
  while (const std::optional<Box> box = cursor.Next()) {
    if (box->type != FourCc("trak")) continue;
    if (auto track = ParseTrack(box->payload)) return track;
  }
  return std::nullopt;
}

uint64_t CountChapters(std::span<const std::byte> moov_payload) {
  BoxCursor cursor(moov_payload);
  while (const std::optional<Box> box = cursor.Next()) {
    if (box->type != FourCc("trak")) continue;
    std::optional<Box> found = FindBox(box->payload, FourCc("mdia"));
    if (!found) continue;
    const std::optional<Box> hdlr = FindBox(found->payload, FourCc("hdlr"));
    if (!hdlr) continue;
    ByteReader handler(hdlr->payload);
    handler.Skip(8);
    if (handler.U32() != FourCc("text")) continue;
    for (const BoxType type : {FourCc("minf"), FourCc("stbl"), FourCc("stsz")})
      if (found) found = FindBox(found->payload, type);
    if (!found) return 0;
    ByteReader sizes(found->payload);
    sizes.Skip(8);
    const uint64_t samples = sizes.U32();
    if (!sizes.ok() || samples == 0 || sizes.left() / 4 < samples) return 0;
    constexpr uint32_t kUntitledBytes = 14;  // See ChapterTexts().
    return samples - (sizes.U32() == kUntitledBytes ? 1 : 0);
  }
  return 0;
}

absl::Status ReadSampleTables(std::span<const std::byte> stbl,
                              uint64_t file_bytes, SampleIndex& index,
                              uint64_t& last_duration) {
  const auto stts = Table(stbl, FourCc("stts"));
  const auto stsc = Table(stbl, FourCc("stsc"));
  const auto stsz = Table(stbl, FourCc("stsz"));
  const auto stco = Table(stbl, FourCc("stco"));
  const auto co64 = Table(stbl, FourCc("co64"));
  if (!stts || !stsc || !stsz || (!stco && !co64))
    return Contradiction("stts, stsc, stsz or stco is missing");
  if (FindBox(stbl, FourCc("ctts"))) return Contradiction("reordered samples");

  Durations durations(*stts);
  ChunkSamples chunk_samples(*stsc);
  Sizes sizes(*stsz);
  SyncSamples sync(Table(stbl, FourCc("stss")));
  // Without stdp the reader is empty: zeros.
  ByteReader priorities = Table(stbl, FourCc("stdp")).value_or(ByteReader({}));
  ByteReader offsets = stco ? *stco : *co64;
  uint64_t samples = 0;
  uint64_t time = 0;
  for (uint32_t chunks = offsets.U32(); chunks > 0; --chunks) {
    uint64_t offset = offsets.Versioned(stco ? 0 : 1);
    if (!offsets.ok()) return Contradiction("stco is too short");
    const uint32_t in_chunk = chunk_samples.Next();
    if (in_chunk == 0) return Contradiction("a chunk without samples");
    index.BeginChunk(offset);
    for (uint32_t i = 0; i < in_chunk; ++i) {
      const std::optional<uint32_t> duration = durations.Next();
      const uint32_t size = sizes.Next();
      if (!duration || !sizes.ok() || samples == sizes.count())
        return Contradiction("they count different numbers of samples");
      if (offset > file_bytes || size > file_bytes - offset)
        return Contradiction("a sample outside the file");
      index.Add(time, size, sync.Next(), priorities.U16());
      if (!index.complete())
        return absl::ResourceExhaustedError("sample tables: too many samples");
      offset += size;
      time += *duration;
      last_duration = *duration;
      ++samples;
    }
  }
  if (samples != sizes.count() || durations.Next())
    return Contradiction("they count different numbers of samples");
  return absl::OkStatus();
}

}  // namespace kine::mp4
