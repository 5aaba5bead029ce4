// The two `moov` boxes of a recording: the one without samples at its start,
// and the one index that finishes it; and how many bytes the latter takes,
// without building it.
//
// Pure functions; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "encode/mp4/box_writer.h"
#include "encode/mp4/init_segment.h"
#include "encode/mp4/sample_index.h"

namespace kine::mp4 {

inline constexpr uint32_t kTrackId = 1;
// Sample flags but for the degradation priority in their low 16 bits:
// depends on no other sample; depends on others and is no sync sample.
inline constexpr uint32_t kKeyframeFlags = 0x0200'0000;
inline constexpr uint32_t kOtherFlags = 0x0101'0000;

// `width` and `height` of the first picture; `stsd` is the whole box.
std::vector<std::byte> BuildInitMoov(uint16_t width, uint16_t height,
                                     std::span<const std::byte> stsd);

// A title from `time` on, in ticks from the first sample.
struct Chapter {
  uint64_t time = 0;
  std::string title;  // UTF-8, at most kChapterTitleMax bytes.

  friend bool operator==(const Chapter&, const Chapter&) = default;
};
inline constexpr size_t kChapterTitleMax = 1024;

// By time, each later than the one before, none behind `duration`: what the
// functions below take. Those behind it are left out.
std::vector<Chapter> TidyChapters(std::vector<Chapter> chapters,
                                  uint64_t duration);
// What the chapters' track points to: it lies elsewhere in the file. Its size
// is a multiple of 8; nothing without chapters.
std::vector<std::byte> ChapterTexts(std::span<const Chapter> chapters);
// The small mdat that holds the texts where nothing else does, and its size;
// nothing where there are none.
inline constexpr uint64_t kTextBoxHeaderBytes = 8;
void WriteTextBox(BoxWriter w, std::span<const std::byte> texts);
constexpr uint64_t TextBoxBytes(uint64_t texts_bytes) {
  return texts_bytes == 0 ? 0 : kTextBoxHeaderBytes + texts_bytes;
}

// The finished moov. Its size is a multiple of 8, so that what it leaves of a
// reserve is 0 or enough for a `free` box. `index` is complete and not empty.
// `texts_offset`: where ChapterTexts() lies in the file.
std::vector<std::byte> BuildFinishedMoov(const FileHeader& header,
                                         const SampleIndex& index,
                                         uint64_t last_duration,
                                         std::span<const Chapter> chapters = {},
                                         uint64_t texts_offset = 0);

// The size of that box.
uint64_t FinishedMoovBytes(const FileHeader& header, const IndexCounts& counts,
                           uint64_t last_duration,
                           std::span<const Chapter> chapters = {});
// The most it can be for any last duration.
uint64_t FinishedMoovBytesMax(const FileHeader& header,
                              const IndexCounts& counts);

// Beside the moov itself: in front it is followed by the header of the large
// mdat; at the end it is preceded by that of the free box which hides it.
inline constexpr uint64_t kLargeMdatHeaderBytes = 16;
inline constexpr uint64_t kFreeHeaderBytes = 8;

// `moov_bytes` with the box of the chapters' texts, if there is one.
bool FitsReserve(const FileHeader& header, uint64_t moov_bytes);
// Of a file whose fragments end at `end`.
uint64_t FinishedFileBytes(const FileHeader& header, uint64_t end,
                           uint64_t moov_bytes);

// -- Parts of moov.cc and chapters.cc, for one another.

inline constexpr uint32_t kChapterTrackId = 2;
inline constexpr uint64_t kChapterReferenceBytes = 20;

struct TrackHeader {
  uint32_t id = 0;
  uint32_t flags = 0;
  uint64_t duration = 0;
  uint16_t width = 0;
  uint16_t height = 0;
};
void WriteMatrix(BoxWriter& w);
void WriteTkhd(BoxWriter& w, const TrackHeader& track);
void WriteMdhdAndHdlr(BoxWriter& w, uint64_t duration, std::string_view handler,
                      std::string_view name);
void WriteDinf(BoxWriter& w);
// Of a trak without the media's own header and what stbl holds.
uint64_t TrackBytes(uint64_t duration, std::string_view handler_name);

// What chapters, which may be none, add to a moov.
uint64_t ChapterMoovBytes(std::span<const Chapter> chapters, uint64_t duration);
// Into the video's trak, behind it, and behind all tracks.
void WriteChapterReference(BoxWriter& w);
void WriteChapterTrack(BoxWriter& w, std::span<const Chapter> chapters,
                       uint64_t duration, uint64_t texts_offset);
void WriteChapterList(BoxWriter& w, std::span<const Chapter> chapters);

}  // namespace kine::mp4
