#include "encode/mp4/scanner.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/base/crc32c.h"
#include "daemon/base/limits.h"
#include "daemon/base/status.h"
#include "encode/mp4/box_reader.h"
#include "encode/mp4/fragment_layout.h"
#include "encode/mp4/moov.h"
#include "encode/mp4/track_reader.h"

namespace kine::mp4 {
namespace {

constexpr uint64_t kFtypBytesMax = 4096;
constexpr uint64_t kInitMoovBytesMax = 1u << 20;
// One read holds most moofs, the header of the mdat and, where little happens
// on the screen, several fragments.
constexpr size_t kWindowBytes = 4096;
constexpr size_t kCrcReadBytes = 256u << 10;
// moov, free and mdat, or mdat and moov; and room for what comes to stand
// between.
constexpr int kFinishedBoxesMax = 16;
constexpr uint64_t kTimeMax = uint64_t{1} << 62;

class Scanner {
 public:
  Scanner(ByteSource& source, const ScanOptions& options)
      : source_(source), options_(options), size_(source.size()) {
    result_.file.index = SampleIndex(options.index_memory_max);
  }

  absl::StatusOr<ScanResult> Run() &&;

 private:
  // Up to `count` bytes at `offset`; fewer only at the end of the file. Valid
  // until the next call.
  absl::StatusOr<std::span<const std::byte>> Peek(uint64_t offset,
                                                  size_t count);
  absl::StatusOr<std::optional<BoxHeader>> HeaderAt(uint64_t offset);

  // Each returns whether to go on; when not, it has said why in ended_by.
  absl::StatusOr<bool> ReadHead();
  absl::StatusOr<bool> ReadCommitted(uint64_t offset, BoxHeader box);
  absl::StatusOr<bool> HasMvex(uint64_t offset, const BoxHeader& moov);
  absl::StatusOr<bool> ReadInitMoov(uint64_t offset);
  absl::StatusOr<bool> ReadFragment();
  absl::StatusOr<bool> PayloadIsGood(uint64_t offset, const ParsedMoof& moof);
  bool AddFragment(const ParsedMoof& moof, uint64_t payload_offset);

  bool EndBy(absl::string_view why) {
    result_.ended_by = std::string(why);
    return false;
  }

  ByteSource& source_;
  const ScanOptions& options_;
  const uint64_t size_;
  std::vector<std::byte> window_;
  uint64_t window_offset_ = 0;
  std::vector<std::byte> crc_buffer_;
  ScanResult result_;
};

absl::StatusOr<std::span<const std::byte>> Scanner::Peek(uint64_t offset,
                                                         size_t count) {
  const auto available =
      static_cast<size_t>(std::min<uint64_t>(count, size_ - offset));
  if (offset < window_offset_ ||
      offset + available > window_offset_ + window_.size()) {
    window_.resize(std::max(kWindowBytes, available));
    KINE_ASSIGN_OR_RETURN(const size_t got, source_.ReadAt(offset, window_));
    window_.resize(got);
    window_offset_ = offset;
  }
  const auto window = std::span<const std::byte>(window_).subspan(
      static_cast<size_t>(offset - window_offset_));
  return window.first(std::min(available, window.size()));
}

absl::StatusOr<std::optional<BoxHeader>> Scanner::HeaderAt(uint64_t offset) {
  if (offset >= size_) return std::optional<BoxHeader>();
  KINE_ASSIGN_OR_RETURN(const std::span<const std::byte> bytes,
                        Peek(offset, kBoxHeaderBytesMax));
  return ParseBoxHeader(bytes);
}

absl::StatusOr<bool> Scanner::ReadHead() {
  KINE_ASSIGN_OR_RETURN(const std::optional<BoxHeader> ftyp, HeaderAt(0));
  if (!ftyp || ftyp->type != FourCc("ftyp") || ftyp->size > kFtypBytesMax ||
      ftyp->size % 8 != 0 || ftyp->size == 0) {
    return EndBy("no ftyp");
  }
  const uint64_t offset = ftyp->size;
  KINE_ASSIGN_OR_RETURN(const std::optional<BoxHeader> box, HeaderAt(offset));
  if (!box) return EndBy("no box behind the ftyp");
  if (box->type == FourCc("moov") || box->type == FourCc("mdat"))
    return ReadCommitted(offset, *box);
  if (box->type != FourCc("free") || box->header_bytes != 8 ||
      box->size % 8 != 0 || box->size < 2 * kLargeMdatHeaderBytes) {
    return EndBy("no reserve behind the ftyp");
  }
  result_.file.header.reserve_offset = offset;
  result_.file.header.reserve_bytes = box->size;
  return ReadInitMoov(offset + box->size);
}

// Only the commit puts such a box behind the ftyp, and all else was synced
// before it: the file ends where its last box does.
absl::StatusOr<bool> Scanner::ReadCommitted(uint64_t offset, BoxHeader box) {
  const bool in_front = box.type == FourCc("moov");
  if (in_front) {
    KINE_ASSIGN_OR_RETURN(const bool fragmented, HasMvex(offset, box));
    if (fragmented) return EndBy("a fragmented file without a reserve");
  }
  // An mdat with a short header in front of the large one holds the chapters'
  // texts.
  const auto is_last = [in_front](const BoxHeader& b) {
    return in_front ? b.type == FourCc("mdat") &&
                          b.header_bytes == kLargeMdatHeaderBytes
                    : b.type == FourCc("moov");
  };
  for (int boxes = 0; boxes < kFinishedBoxesMax; ++boxes) {
    if (box.size == 0 || box.size > size_ - offset) break;
    offset += box.size;
    if (is_last(box)) {
      result_.state = ScanResult::State::kFinished;
      result_.file.end = offset;
      return EndBy("finished");
    }
    KINE_ASSIGN_OR_RETURN(const std::optional<BoxHeader> next,
                          HeaderAt(offset));
    if (!next) break;
    box = *next;
  }
  return EndBy("a finished file that was cut short");
}

absl::StatusOr<bool> Scanner::HasMvex(uint64_t offset, const BoxHeader& moov) {
  const uint64_t end = offset + std::min(moov.size, size_ - offset);
  offset += moov.header_bytes;
  while (offset < end) {
    KINE_ASSIGN_OR_RETURN(const std::optional<BoxHeader> child,
                          HeaderAt(offset));
    if (!child || child->size == 0 || child->size > end - offset) break;
    if (child->type == FourCc("mvex")) return true;
    offset += child->size;
  }
  return false;
}

absl::StatusOr<bool> Scanner::ReadInitMoov(uint64_t offset) {
  KINE_ASSIGN_OR_RETURN(const std::optional<BoxHeader> box, HeaderAt(offset));
  if (!box || box->type != FourCc("moov") || box->size == 0 ||
      box->size > kInitMoovBytesMax || box->size > size_ - offset) {
    return EndBy("no whole moov behind the reserve");
  }
  KINE_ASSIGN_OR_RETURN(const std::span<const std::byte> moov,
                        Peek(offset, static_cast<size_t>(box->size)));
  const std::optional<TrackDescription> track =
      ParseVideoTrack(moov.subspan(box->header_bytes));
  if (moov.size() != box->size || !track)
    return EndBy("a moov that describes no video track");

  FileHeader& header = result_.file.header;
  header.moov_bytes = box->size;
  header.width = track->width;
  header.height = track->height;
  header.stsd.assign(track->stsd.begin(), track->stsd.end());
  result_.file.end = header.fragments_offset();
  return true;
}

absl::StatusOr<bool> Scanner::ReadFragment() {
  const uint64_t offset = result_.file.end;
  if (offset == size_) return EndBy("end of file");
  KINE_ASSIGN_OR_RETURN(const std::optional<BoxHeader> box, HeaderAt(offset));
  if (!box || box->type != FourCc("moof")) return EndBy("no moof");
  // Nothing below overflows: a moof that passes is small.
  if (box->size > kMoofBytesMax ||
      box->size + kMdatHeaderBytes > size_ - offset) {
    return EndBy("moof cut short");
  }
  const auto moof_bytes = static_cast<size_t>(box->size);
  KINE_ASSIGN_OR_RETURN(const std::span<const std::byte> bytes,
                        Peek(offset, moof_bytes + kMdatHeaderBytes));
  if (bytes.size() != moof_bytes + kMdatHeaderBytes)
    return EndBy("moof cut short");
  const absl::StatusOr<ParsedMoof> moof = ParseMoof(bytes.first(moof_bytes));
  if (!moof.ok()) return EndBy(moof.status().message());

  ByteReader mdat(bytes.subspan(moof_bytes));
  const uint64_t mdat_bytes = mdat.U32();
  if (mdat.U32() != FourCc("mdat") ||
      mdat_bytes != kMdatHeaderBytes + moof->payload_bytes) {
    return EndBy("mdat does not fit its moof");
  }
  const uint64_t payload = offset + moof_bytes + kMdatHeaderBytes;
  if (moof->payload_bytes > size_ - payload) return EndBy("mdat cut short");
  const uint64_t end = payload + moof->payload_bytes;
  const bool durable =
      end <= options_.durable_bytes || (options_.each_synced && end < size_);
  if (!durable) {
    if (!moof->crc_good) return EndBy("moof: CRC");
    KINE_ASSIGN_OR_RETURN(const bool good, PayloadIsGood(payload, *moof));
    if (!good) return EndBy("mdat: CRC");
  }
  if (!AddFragment(*moof, payload)) return EndBy("moof: time goes backwards");
  if (!result_.file.index.complete()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the index of the recording needs more than ",
                     options_.index_memory_max, " bytes of memory"));
  }
  result_.file.end = end;
  return true;
}

absl::StatusOr<bool> Scanner::PayloadIsGood(uint64_t offset,
                                            const ParsedMoof& moof) {
  crc_buffer_.resize(kCrcReadBytes);
  uint32_t crc = 0;
  for (uint64_t left = moof.payload_bytes; left > 0;) {
    const std::span<std::byte> into =
        std::span(crc_buffer_)
            .first(
                static_cast<size_t>(std::min<uint64_t>(left, kCrcReadBytes)));
    KINE_ASSIGN_OR_RETURN(const size_t got, source_.ReadAt(offset, into));
    if (got != into.size()) return false;
    crc = Crc32c(crc, into);
    offset += got;
    left -= got;
  }
  return crc == moof.payload_crc;
}

bool Scanner::AddFragment(const ParsedMoof& moof, uint64_t payload_offset) {
  SampleIndex& index = result_.file.index;
  const IndexCounts counts = index.counts();
  uint64_t time = moof.decode_time;
  // Room for the durations of this fragment without a wrap.
  if (time > kTimeMax) return false;
  if (counts.samples > 0 && time <= counts.last_time_added) return false;
  index.BeginChunk(payload_offset);
  for (const ParsedMoof::Entry& sample : moof.samples) {
    index.Add(time, sample.size, sample.keyframe, sample.priority);
    time += sample.duration;
  }
  result_.last_until = time;
  ++result_.fragments;
  return true;
}

absl::StatusOr<ScanResult> Scanner::Run() && {
  KINE_ASSIGN_OR_RETURN(bool more, ReadHead());
  while (more) {
    KINE_ASSIGN_OR_RETURN(more, ReadFragment());
  }
  if (result_.fragments > 0) result_.state = ScanResult::State::kGrowing;
  return std::move(result_);
}

}  // namespace

absl::StatusOr<ScanResult> Scan(ByteSource& source,
                                const ScanOptions& options) {
  return Scanner(source, options).Run();
}

}  // namespace kine::mp4
