// Chapters: a QuickTime text track, which every player of chapters reads, and
// Nero's list (chpl) for those that read only that; it counts in 8 bits.
#include <algorithm>
#include <string_view>
#include <utility>

#include "daemon/base/check.h"
#include "encode/mp4/box_writer.h"
#include "encode/mp4/moov.h"

namespace kine::mp4 {
namespace {

constexpr size_t kListedMax = 255;
constexpr size_t kListedTitleMax = 255;
constexpr std::string_view kHandlerName = "Kinescope chapters";
// Behind a title: it is UTF-8.
constexpr uint32_t kEncodingBytes = 12;
constexpr uint32_t kEncodingUtf8 = 0x100;

constexpr uint64_t kTextEntryBytes = 60;
constexpr uint64_t kGmhdBytes = 76;

// A text track has no holes: one without a title leads to the first chapter.
bool HasLead(std::span<const Chapter> chapters) {
  return chapters.front().time > 0;
}

size_t Samples(std::span<const Chapter> chapters) {
  return chapters.size() + (HasLead(chapters) ? 1 : 0);
}

uint32_t TextBytes(std::string_view title) {
  return static_cast<uint32_t>(2 + title.size()) + kEncodingBytes;
}

// The first `max` bytes of it, or fewer: no character is cut.
std::string_view Shortened(std::string_view text, size_t max) {
  if (text.size() <= max) return text;
  size_t end = max;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80)
    --end;
  return text.substr(0, end);
}

std::span<const Chapter> Listed(std::span<const Chapter> chapters) {
  return chapters.first(std::min(chapters.size(), kListedMax));
}

void WriteGmhd(BoxWriter& w) {
  const size_t gmhd = w.Begin("gmhd");
  const size_t gmin = w.BeginFull("gmin", 0, 0);
  w.U16(0x40);  // Copied as it is; the colour of no matter.
  for (int i = 0; i < 3; ++i) w.U16(0x8000);
  w.Zeros(4);
  w.End(gmin);
  const size_t text = w.Begin("text");
  WriteMatrix(w);
  w.End(text);
  w.End(gmhd);
}

void WriteEntry(BoxWriter& w) {
  const size_t stsd = w.BeginFull("stsd", 0, 0);
  w.U32(1);
  const size_t text = w.Begin("text");
  w.Zeros(6);
  w.U16(1);  // Data reference.
  w.U32(0);
  w.U32(1);  // Centred.
  w.Zeros(kTextEntryBytes - 8 - 16);
  w.End(text);
  w.End(stsd);
}

void WriteTables(BoxWriter& w, std::span<const Chapter> chapters,
                 uint64_t duration, uint64_t texts_offset) {
  const auto samples = static_cast<uint32_t>(Samples(chapters));
  const size_t stts = w.BeginFull("stts", 0, 0);
  w.U32(samples);
  const auto last = [&](uint64_t from, uint64_t to) {
    w.U32(1);
    w.U32(static_cast<uint32_t>(std::min(to - from, kSampleTicksMax)));
  };
  if (HasLead(chapters)) last(0, chapters.front().time);
  for (size_t i = 0; i < chapters.size(); ++i)
    last(chapters[i].time,
         i + 1 < chapters.size() ? chapters[i + 1].time : duration);
  w.End(stts);

  const size_t stsc = w.BeginFull("stsc", 0, 0);
  w.U32(1);
  w.U32(1);
  w.U32(samples);  // All of them are one chunk.
  w.U32(1);
  w.End(stsc);

  const size_t stsz = w.BeginFull("stsz", 0, 0);
  w.U32(0);
  w.U32(samples);
  if (HasLead(chapters)) w.U32(TextBytes(""));
  for (const Chapter& chapter : chapters) w.U32(TextBytes(chapter.title));
  w.End(stsz);

  // Wide wherever it points, so that its size does not depend on that.
  const size_t co64 = w.BeginFull("co64", 0, 0);
  w.U32(1);
  w.U64(texts_offset);
  w.End(co64);
}

}  // namespace

std::vector<Chapter> TidyChapters(std::vector<Chapter> chapters,
                                  uint64_t duration) {
  std::stable_sort(
      chapters.begin(), chapters.end(),
      [](const Chapter& a, const Chapter& b) { return a.time < b.time; });
  std::vector<Chapter> tidy;
  uint64_t next = 0;
  for (Chapter& chapter : chapters) {
    if (chapter.time > duration || next >= duration) break;
    chapter.time = std::max(next, std::min(chapter.time, duration - 1));
    chapter.title = std::string(Shortened(chapter.title, kChapterTitleMax));
    next = chapter.time + 1;
    tidy.push_back(std::move(chapter));
  }
  return tidy;
}

uint64_t ChapterMoovBytes(std::span<const Chapter> chapters,
                          uint64_t duration) {
  if (chapters.empty()) return 0;
  const uint64_t samples = Samples(chapters);
  uint64_t bytes = kChapterReferenceBytes;
  bytes += TrackBytes(duration, kHandlerName) + kGmhdBytes + 16 +
           kTextEntryBytes     // stsd
           + 16 + 8 * samples  // stts
           + 28                // stsc
           + 20 + 4 * samples  // stsz
           + 24;               // co64
  bytes += 8 + 12 + 5;         // udta, chpl
  for (const Chapter& chapter : Listed(chapters))
    bytes += 9 + Shortened(chapter.title, kListedTitleMax).size();
  return bytes;
}

void WriteChapterReference(BoxWriter& w) {
  const size_t tref = w.Begin("tref");
  const size_t chap = w.Begin("chap");
  w.U32(kChapterTrackId);
  w.End(chap);
  w.End(tref);
}

void WriteChapterTrack(BoxWriter& w, std::span<const Chapter> chapters,
                       uint64_t duration, uint64_t texts_offset) {
  const size_t trak = w.Begin("trak");
  // Not enabled: nobody shall show it as subtitles.
  WriteTkhd(w, {.id = kChapterTrackId, .flags = 0, .duration = duration});
  const size_t mdia = w.Begin("mdia");
  WriteMdhdAndHdlr(w, duration, "text", kHandlerName);
  const size_t minf = w.Begin("minf");
  WriteGmhd(w);
  WriteDinf(w);
  const size_t stbl = w.Begin("stbl");
  WriteEntry(w);
  WriteTables(w, chapters, duration, texts_offset);
  w.End(stbl);
  w.End(minf);
  w.End(mdia);
  w.End(trak);
}

void WriteChapterList(BoxWriter& w, std::span<const Chapter> chapters) {
  const std::span<const Chapter> listed = Listed(chapters);
  const size_t udta = w.Begin("udta");
  const size_t chpl = w.BeginFull("chpl", 1, 0);
  w.U32(0);
  w.U8(static_cast<uint8_t>(listed.size()));
  for (const Chapter& chapter : listed) {
    const std::string_view title = Shortened(chapter.title, kListedTitleMax);
    w.U64(chapter.time * 1000 / 9);  // In 100 ns.
    w.U8(static_cast<uint8_t>(title.size()));
    w.Text(title);
  }
  w.End(chpl);
  w.End(udta);
}

std::vector<std::byte> ChapterTexts(std::span<const Chapter> chapters) {
  std::vector<std::byte> texts;
  if (chapters.empty()) return texts;
  BoxWriter w(texts);
  const auto put = [&w](std::string_view title) {
    w.U16(static_cast<uint16_t>(title.size()));
    w.Text(title);
    w.U32(kEncodingBytes);
    w.Text("encd");
    w.U32(kEncodingUtf8);
  };
  if (HasLead(chapters)) put("");
  for (const Chapter& chapter : chapters) put(chapter.title);
  w.Zeros((8 - texts.size() % 8) % 8);
  return texts;
}

void WriteTextBox(BoxWriter w, std::span<const std::byte> texts) {
  if (texts.empty()) return;
  const size_t mdat = w.Begin("mdat");
  w.Bytes(texts);
  w.End(mdat);
}

}  // namespace kine::mp4
