#include "encode/mp4/moov.h"

#include <limits>
#include <optional>
#include <string_view>

#include "daemon/base/check.h"
#include "daemon/base/limits.h"
#include "encode/mp4/box_writer.h"

namespace kine::mp4 {
namespace {

constexpr std::string_view kHandlerName = "Kinescope video";
constexpr uint32_t kFixedOne = 0x0001'0000;  // 16.16
constexpr uint16_t kLanguageUndetermined = 0x55c4;
constexpr uint64_t kMax32 = std::numeric_limits<uint32_t>::max();

// Of the boxes whose size does not depend on the recording.
constexpr uint64_t kBoxBytes = 8;
constexpr uint64_t kMvhdBytes = 108;  // Version 0; 12 more in version 1.
constexpr uint64_t kTkhdBytes = 92;
constexpr uint64_t kMdhdBytes = 32;
constexpr uint64_t kVersion1Bytes = 12;
constexpr uint64_t kHdlrBytes = 32 + 1;  // And the name.
constexpr uint64_t kVmhdBytes = 20;
constexpr uint64_t kDinfBytes = 36;

uint8_t VersionFor(uint64_t duration) { return duration < kMax32 ? 0 : 1; }

// Whether the last sample's duration opens a run of its own in stts.
bool OpensRun(const IndexCounts& counts, uint64_t last_duration) {
  return counts.samples == 1 || last_duration != counts.last_run_duration;
}

void WriteMvhd(BoxWriter& w, uint64_t duration, uint32_t next_track) {
  const uint8_t version = VersionFor(duration);
  const size_t mvhd = w.BeginFull("mvhd", version, 0);
  w.Versioned(version, 0);  // Creation: unknown.
  w.Versioned(version, 0);  // Modification.
  w.U32(limits::kMediaTimeScale);
  w.Versioned(version, duration);
  w.U32(kFixedOne);  // Rate.
  w.U16(0x100);      // Volume.
  w.Zeros(10);
  WriteMatrix(w);
  w.Zeros(24);
  w.U32(next_track);
  w.End(mvhd);
}

TrackHeader VideoTrack(uint64_t duration, uint16_t width, uint16_t height) {
  constexpr uint32_t kEnabledInMovie = 3;
  return {kTrackId, kEnabledInMovie, duration, width, height};
}

void WriteVmhd(BoxWriter& w) {
  const size_t vmhd = w.BeginFull("vmhd", 0, 1);
  w.Zeros(8);
  w.End(vmhd);
}

// The video's track from trak to stbl; `tables` writes what stbl holds.
template <typename Tables>
void WriteTrack(BoxWriter& w, const TrackHeader& track, bool has_chapters,
                Tables tables) {
  const size_t trak = w.Begin("trak");
  WriteTkhd(w, track);
  if (has_chapters) WriteChapterReference(w);
  const size_t mdia = w.Begin("mdia");
  WriteMdhdAndHdlr(w, track.duration, "vide", kHandlerName);
  const size_t minf = w.Begin("minf");
  WriteVmhd(w);
  WriteDinf(w);
  const size_t stbl = w.Begin("stbl");
  tables();
  w.End(stbl);
  w.End(minf);
  w.End(mdia);
  w.End(trak);
}

template <typename Visit>
void ForEachSample(const SampleIndex& index, Visit visit) {
  SampleIndex::Reader reader(index);
  while (const std::optional<IndexedSample> sample = reader.Next())
    visit(*sample);
}

void WriteStts(BoxWriter& w, const SampleIndex& index, uint64_t last_duration) {
  const IndexCounts counts = index.counts();
  const size_t stts = w.BeginFull("stts", 0, 0);
  w.U32(static_cast<uint32_t>(counts.duration_runs +
                              (OpensRun(counts, last_duration) ? 1 : 0)));
  uint32_t run = 0;
  uint64_t run_duration = 0;
  uint64_t time = 0;
  const auto put = [&](uint64_t duration) {
    if (run > 0 && duration != run_duration) {
      w.U32(run);
      w.U32(static_cast<uint32_t>(run_duration));
      run = 0;
    }
    run_duration = duration;
    ++run;
  };
  bool first = true;
  ForEachSample(index, [&](const IndexedSample& sample) {
    if (!first) put(sample.time - time);
    first = false;
    time = sample.time;
  });
  put(last_duration);
  w.U32(run);
  w.U32(static_cast<uint32_t>(run_duration));
  w.End(stts);
}

void WriteStss(BoxWriter& w, const SampleIndex& index) {
  const IndexCounts counts = index.counts();
  // Without the box every sample is a sync sample.
  if (counts.keyframes == counts.samples) return;
  const size_t stss = w.BeginFull("stss", 0, 0);
  w.U32(static_cast<uint32_t>(counts.keyframes));
  uint32_t number = 0;
  ForEachSample(index, [&](const IndexedSample& sample) {
    ++number;
    if (sample.keyframe) w.U32(number);
  });
  w.End(stss);
}

void WriteStsc(BoxWriter& w, const SampleIndex& index) {
  const size_t stsc = w.BeginFull("stsc", 0, 0);
  w.U32(static_cast<uint32_t>(index.counts().chunk_runs));
  uint32_t chunk = 0;
  uint32_t in_chunk = 0;
  uint32_t in_run = 0;  // Samples a chunk of the run before.
  const auto close = [&] {
    if (chunk > 0 && in_chunk != in_run) {
      w.U32(chunk);
      w.U32(in_chunk);
      w.U32(1);  // The one sample entry.
      in_run = in_chunk;
    }
  };
  ForEachSample(index, [&](const IndexedSample& sample) {
    if (sample.starts_chunk) {
      close();
      ++chunk;
      in_chunk = 0;
    }
    ++in_chunk;
  });
  close();
  w.End(stsc);
}

void WriteSizesOffsetsPriorities(BoxWriter& w, const SampleIndex& index) {
  const IndexCounts counts = index.counts();
  const size_t stsz = w.BeginFull("stsz", 0, 0);
  w.U32(0);
  w.U32(static_cast<uint32_t>(counts.samples));
  ForEachSample(index, [&](const IndexedSample& s) { w.U32(s.size); });
  w.End(stsz);

  const bool wide = counts.last_chunk_offset > kMax32;
  const size_t offsets = w.BeginFull(wide ? "co64" : "stco", 0, 0);
  w.U32(static_cast<uint32_t>(counts.chunks));
  ForEachSample(index, [&](const IndexedSample& s) {
    if (s.starts_chunk) w.Versioned(wide ? 1 : 0, s.offset);
  });
  w.End(offsets);

  const size_t stdp = w.BeginFull("stdp", 0, 0);
  ForEachSample(index, [&](const IndexedSample& s) { w.U16(s.priority); });
  w.End(stdp);
}

// Bytes of the `free` box that makes `bytes` a multiple of 8: 0, or 8 to 15.
uint64_t PaddingBytes(uint64_t bytes) {
  const uint64_t missing = (8 - bytes % 8) % 8;
  return missing == 0 ? 0 : missing + kFreeHeaderBytes;
}

uint64_t MoovBytes(const FileHeader& header, const IndexCounts& counts,
                   uint64_t runs, uint64_t duration,
                   std::span<const Chapter> chapters) {
  uint64_t bytes = kBoxBytes + kMvhdBytes + TrackBytes(duration, kHandlerName) +
                   kVmhdBytes + header.stsd.size();
  if (VersionFor(duration) != 0) bytes += kVersion1Bytes;
  bytes += 16 + 8 * runs;  // stts
  if (counts.keyframes != counts.samples) bytes += 16 + 4 * counts.keyframes;
  bytes += 16 + 12 * counts.chunk_runs;  // stsc
  bytes += 20 + 4 * counts.samples;      // stsz
  bytes += 16 + (counts.last_chunk_offset > kMax32 ? 8 : 4) * counts.chunks;
  bytes += 12 + 2 * counts.samples;  // stdp
  bytes += ChapterMoovBytes(chapters, duration);
  return bytes + PaddingBytes(bytes);
}

}  // namespace

void WriteMatrix(BoxWriter& w) {
  for (const uint32_t value :
       {kFixedOne, 0u, 0u, 0u, kFixedOne, 0u, 0u, 0u, 0x4000'0000u}) {
    w.U32(value);
  }
}

void WriteTkhd(BoxWriter& w, const TrackHeader& track) {
  const uint8_t version = VersionFor(track.duration);
  const size_t tkhd = w.BeginFull("tkhd", version, track.flags);
  w.Versioned(version, 0);
  w.Versioned(version, 0);
  w.U32(track.id);
  w.U32(0);
  w.Versioned(version, track.duration);
  w.Zeros(16);  // Layer, group, volume.
  WriteMatrix(w);
  w.U32(uint32_t{track.width} << 16);
  w.U32(uint32_t{track.height} << 16);
  w.End(tkhd);
}

void WriteMdhdAndHdlr(BoxWriter& w, uint64_t duration, std::string_view handler,
                      std::string_view name) {
  const uint8_t version = VersionFor(duration);
  const size_t mdhd = w.BeginFull("mdhd", version, 0);
  w.Versioned(version, 0);
  w.Versioned(version, 0);
  w.U32(limits::kMediaTimeScale);
  w.Versioned(version, duration);
  w.U16(kLanguageUndetermined);
  w.U16(0);
  w.End(mdhd);

  const size_t hdlr = w.BeginFull("hdlr", 0, 0);
  w.U32(0);
  w.Text(handler);
  w.Zeros(12);
  w.Text(name);
  w.U8(0);
  w.End(hdlr);
}

void WriteDinf(BoxWriter& w) {
  const size_t dinf = w.Begin("dinf");
  const size_t dref = w.BeginFull("dref", 0, 0);
  w.U32(1);
  w.End(w.BeginFull("url ", 0, 1));  // In this file.
  w.End(dref);
  w.End(dinf);
}

uint64_t TrackBytes(uint64_t duration, std::string_view handler_name) {
  return 4 * kBoxBytes  // trak, mdia, minf, stbl
         + kTkhdBytes + kMdhdBytes +
         (VersionFor(duration) != 0 ? 2 * kVersion1Bytes : 0) + kHdlrBytes +
         handler_name.size() + kDinfBytes;
}

std::vector<std::byte> BuildInitMoov(uint16_t width, uint16_t height,
                                     std::span<const std::byte> stsd) {
  std::vector<std::byte> box;
  BoxWriter w(box);
  const size_t moov = w.Begin("moov");
  WriteMvhd(w, 0, kTrackId + 1);
  WriteTrack(w, VideoTrack(0, width, height), /*has_chapters=*/false, [&] {
    w.Bytes(stsd);
    for (const std::string_view type : {"stts", "stsc", "stsz", "stco"}) {
      const size_t table = w.BeginFull(type, 0, 0);
      w.Zeros(type == "stsz" ? 8 : 4);
      w.End(table);
    }
  });
  const size_t mvex = w.Begin("mvex");
  const size_t trex = w.BeginFull("trex", 0, 0);
  w.U32(kTrackId);
  w.U32(1);  // Sample entry.
  w.U32(0);  // Every trun says durations and sizes.
  w.U32(0);
  w.U32(kOtherFlags);
  w.End(trex);
  w.End(mvex);
  w.End(moov);
  return box;
}

std::vector<std::byte> BuildFinishedMoov(const FileHeader& header,
                                         const SampleIndex& index,
                                         uint64_t last_duration,
                                         std::span<const Chapter> chapters,
                                         uint64_t texts_offset) {
  const IndexCounts counts = index.counts();
  KINE_CHECK(index.complete() && counts.samples > 0);
  const uint64_t duration = counts.last_time + last_duration;
  const uint64_t bytes =
      FinishedMoovBytes(header, counts, last_duration, chapters);
  const bool has_chapters = !chapters.empty();

  std::vector<std::byte> box;
  box.reserve(static_cast<size_t>(bytes));
  BoxWriter w(box);
  const size_t moov = w.Begin("moov");
  WriteMvhd(w, duration, (has_chapters ? kChapterTrackId : kTrackId) + 1);
  const TrackHeader video = VideoTrack(duration, header.width, header.height);
  WriteTrack(w, video, has_chapters, [&] {
    w.Bytes(header.stsd);
    WriteStts(w, index, last_duration);
    WriteStss(w, index);
    WriteStsc(w, index);
    WriteSizesOffsetsPriorities(w, index);
  });
  if (has_chapters) {
    WriteChapterTrack(w, chapters, duration, texts_offset);
    WriteChapterList(w, chapters);
  }
  if (const uint64_t padding = PaddingBytes(w.position()); padding > 0) {
    const size_t free = w.Begin("free");
    w.Zeros(static_cast<size_t>(padding - kFreeHeaderBytes));
    w.End(free);
  }
  w.End(moov);
  KINE_CHECK(box.size() == bytes);
  return box;
}

uint64_t FinishedMoovBytes(const FileHeader& header, const IndexCounts& counts,
                           uint64_t last_duration,
                           std::span<const Chapter> chapters) {
  return MoovBytes(
      header, counts,
      counts.duration_runs + (OpensRun(counts, last_duration) ? 1 : 0),
      counts.last_time + last_duration, chapters);
}

uint64_t FinishedMoovBytesMax(const FileHeader& header,
                              const IndexCounts& counts) {
  return MoovBytes(header, counts, counts.duration_runs + 1,
                   counts.last_time + kSampleTicksMax, {});
}

bool FitsReserve(const FileHeader& header, uint64_t moov_bytes) {
  return moov_bytes + kLargeMdatHeaderBytes <= header.reserve_bytes;
}

uint64_t FinishedFileBytes(const FileHeader& header, uint64_t end,
                           uint64_t moov_bytes) {
  if (FitsReserve(header, moov_bytes)) return end;
  return end + kFreeHeaderBytes + moov_bytes;
}

}  // namespace kine::mp4
