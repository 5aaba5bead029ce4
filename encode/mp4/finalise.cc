#include "encode/mp4/finalise.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/check.h"
#include "daemon/base/status.h"
#include "encode/mp4/box_writer.h"
#include "encode/mp4/moov.h"

namespace kine::mp4 {
namespace {

constexpr size_t kCommitBytes = 8;
constexpr uint64_t kMoovBytesMax =
    std::numeric_limits<uint32_t>::max() - kFreeHeaderBytes;

// What decides how many chapters there is room for.
struct Placing {
  const FileMap& file;
  const SampleIndex& index;
  uint64_t last_duration;
  bool in_front;
  uint64_t bytes_max;
};

uint64_t MoovWith(const Placing& p, std::span<const Chapter> chapters) {
  return FinishedMoovBytes(p.file.header, p.index.counts(), p.last_duration,
                           chapters);
}

// Of the finished file.
uint64_t BytesWith(const Placing& p, std::span<const Chapter> chapters) {
  if (p.in_front) return p.file.end;
  return p.file.end + kFreeHeaderBytes + ChapterTexts(chapters).size() +
         MoovWith(p, chapters);
}

bool Fit(const Placing& p, std::span<const Chapter> chapters) {
  const uint64_t texts = ChapterTexts(chapters).size();
  const uint64_t moov = MoovWith(p, chapters);
  // Never for their sake is an index at the end that would fit in front.
  if (p.in_front) return FitsReserve(p.file.header, moov + TextBoxBytes(texts));
  return moov + texts <= kMoovBytesMax && BytesWith(p, chapters) <= p.bytes_max;
}

// The first so many of them.
size_t HowManyFit(const Placing& p, std::span<const Chapter> chapters) {
  if (Fit(p, chapters)) return chapters.size();
  size_t fit = 0;
  for (size_t too_many = chapters.size(); too_many - fit > 1;) {
    const size_t middle = fit + (too_many - fit) / 2;
    (Fit(p, chapters.first(middle)) ? fit : too_many) = middle;
  }
  return fit;
}

uint64_t TextsOffset(const Placing& p, std::span<const Chapter> chapters) {
  if (!p.in_front) return p.file.end + kFreeHeaderBytes;
  return p.file.header.reserve_offset + MoovWith(p, chapters) +
         kTextBoxHeaderBytes;
}

// The first `count` bytes of `data`, with the rest of it left in `data`.
std::vector<std::byte> TakeFront(std::vector<std::byte>& data, size_t count) {
  const auto end = data.begin() + static_cast<std::ptrdiff_t>(count);
  std::vector<std::byte> front(data.begin(), end);
  data.erase(data.begin(), end);
  return front;
}

void AddWrite(FinalisePlan& plan, uint64_t offset,
              std::vector<std::byte> data) {
  plan.steps.push_back({FinaliseStep::Kind::kWrite, offset, std::move(data)});
}

// What was written reaches the disk, then the commit does.
void AddCommit(FinalisePlan& plan, uint64_t offset,
               std::vector<std::byte> data) {
  KINE_CHECK(offset % kCommitBytes == 0 && data.size() == kCommitBytes);
  plan.steps.push_back({});
  AddWrite(plan, offset, std::move(data));
  plan.steps.push_back({});
}

// The moov's body behind the header of the reserve, the chapters' texts, the
// header of a free box for what is left, and the header of the large mdat at
// the reserve's end.
void PlanInFront(const FileMap& file, std::vector<std::byte> moov,
                 std::span<const std::byte> texts, FinalisePlan& plan) {
  const FileHeader& header = file.header;
  const uint64_t mdat = header.moov_offset() - kLargeMdatHeaderBytes;
  const uint64_t left =
      mdat - header.reserve_offset - moov.size() - TextBoxBytes(texts.size());
  std::vector<std::byte> commit = TakeFront(moov, kCommitBytes);
  WriteTextBox(BoxWriter(moov), texts);
  if (left > 0) {
    KINE_CHECK(left >= kFreeHeaderBytes);
    BoxWriter w(moov);
    w.U32(static_cast<uint32_t>(left));
    w.Text("free");
  }
  AddWrite(plan, header.reserve_offset + kCommitBytes, std::move(moov));

  std::vector<std::byte> mdat_header;
  BoxWriter w(mdat_header);
  w.U32(1);
  w.Text("mdat");
  w.U64(file.end - mdat);
  AddWrite(plan, mdat, std::move(mdat_header));
  AddCommit(plan, header.reserve_offset, std::move(commit));
}

// A free box with the texts and the moov in it behind the fragments; the commit
// makes the reserve the head of an mdat that reaches to the moov.
void PlanAtEnd(const FileMap& file, const std::vector<std::byte>& moov,
               std::span<const std::byte> texts, FinalisePlan& plan) {
  const FileHeader& header = file.header;
  std::vector<std::byte> tail;
  const uint64_t tail_bytes = kFreeHeaderBytes + texts.size() + moov.size();
  tail.reserve(static_cast<size_t>(tail_bytes));
  BoxWriter hidden(tail);
  hidden.U32(static_cast<uint32_t>(tail_bytes));
  hidden.Text("free");
  hidden.Bytes(texts);
  hidden.Bytes(moov);
  AddWrite(plan, file.end, std::move(tail));

  std::vector<std::byte> size;
  BoxWriter(size).U64(file.end + kFreeHeaderBytes + texts.size() -
                      header.reserve_offset);
  AddWrite(plan, header.reserve_offset + kCommitBytes, std::move(size));

  std::vector<std::byte> commit;
  BoxWriter w(commit);
  w.U32(1);
  w.Text("mdat");
  AddCommit(plan, header.reserve_offset, std::move(commit));
}

}  // namespace

absl::StatusOr<FinalisePlan> PlanFinalise(const FileMap& file, uint64_t until,
                                          CompactRule rule,
                                          PlanChapters given) {
  const IndexCounts counts = file.index.counts();
  if (counts.samples == 0)
    return absl::FailedPreconditionError("no_frame: nothing to finalise");
  if (!file.index.complete()) {
    return absl::FailedPreconditionError(
        "the index did not fit in memory: scan the file");
  }
  const uint64_t last_duration = std::clamp<uint64_t>(
      until - std::min(until, counts.last_time_added), 1, kSampleTicksMax);
  TimedSamples compact;
  if (rule.on()) {
    compact = Compact(file.index, last_duration, file.header.width,
                      file.header.height, rule);
  }
  const SampleIndex& index = rule.on() ? compact.index : file.index;
  const uint64_t last = rule.on() ? compact.last_duration : last_duration;
  const uint64_t moov_bytes =
      FinishedMoovBytes(file.header, index.counts(), last);
  if (moov_bytes > kMoovBytesMax) {
    return absl::ResourceExhaustedError(
        absl::StrCat("an index of ", moov_bytes, " bytes for ", counts.samples,
                     " samples: a moov has at most 4 GiB"));
  }

  FinalisePlan plan;
  plan.index_in_front = FitsReserve(file.header, moov_bytes);
  plan.duration_ticks = counts.last_time + last_duration;
  if (rule.on()) plan.compact_ticks = compact.duration();
  plan.samples = counts.samples;
  plan.steps.push_back({FinaliseStep::Kind::kTruncate, file.end, {}});

  const uint64_t asked = given.chapters.size();
  given.chapters = TidyChapters(std::move(given.chapters), plan.duration_ticks);
  if (rule.on()) {
    given.chapters = ChaptersIn(
        {compact.index, compact.last_duration, file.index, last_duration},
        std::move(given.chapters));
  }
  const Placing place{file, index, last, plan.index_in_front, given.bytes_max};
  const std::span<const Chapter> chapters =
      std::span<const Chapter>(given.chapters)
          .first(HowManyFit(place, given.chapters));
  plan.chapters = chapters.size();
  plan.chapters_left_out = asked - chapters.size();
  const std::vector<std::byte> texts = ChapterTexts(chapters);
  plan.file_bytes = BytesWith(place, chapters);
  std::vector<std::byte> moov = BuildFinishedMoov(
      file.header, index, last, chapters, TextsOffset(place, chapters));
  if (plan.index_in_front) {
    PlanInFront(file, std::move(moov), texts, plan);
  } else {
    PlanAtEnd(file, moov, texts, plan);
  }
  return plan;
}

absl::Status RunPlan(const FinalisePlan& plan, PlanTarget& target) {
  for (const FinaliseStep& step : plan.steps) {
    switch (step.kind) {
      case FinaliseStep::Kind::kTruncate:
        KINE_RETURN_IF_ERROR(target.Truncate(step.offset));
        break;
      case FinaliseStep::Kind::kWrite:
        KINE_RETURN_IF_ERROR(target.WriteAt(step.offset, step.data));
        break;
      case FinaliseStep::Kind::kSync:
        KINE_RETURN_IF_ERROR(target.Sync());
        break;
    }
  }
  return absl::OkStatus();
}

}  // namespace kine::mp4
