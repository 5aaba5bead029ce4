#include "daemon/output/output_store.h"

#include <algorithm>

#include "daemon/base/check.h"

namespace kine {

OutputStore::OutputStore(const Options& options)
    : head_blocks_((options.head_bytes + kBlockBytes - 1) / kBlockBytes),
      tail_bytes_(options.tail_bytes),
      keep_unread_(options.keep_unread),
      spooling_(options.spool),
      spool_begin_(head_blocks_ * kBlockBytes),
      spool_end_(spool_begin_) {}

void OutputStore::Append(absl::string_view bytes) {
  while (!bytes.empty()) {
    std::string& block = blocks_[total_ / kBlockBytes];
    const size_t room = kBlockBytes - total_ % kBlockBytes;
    const size_t take = std::min(room, bytes.size());
    memory_ -= block.capacity();
    // Few bytes cost few; doubling ends at exactly one block.
    if (block.capacity() < block.size() + take)
      block.reserve(std::min<size_t>(
          kBlockBytes, std::max(block.size() + take, 2 * block.size())));
    block.append(bytes.data(), take);
    memory_ += block.capacity();
    total_ += take;
    bytes.remove_prefix(take);
  }
  Trim();
}

uint64_t OutputStore::FirstTailBlock() const {
  const auto it = blocks_.lower_bound(head_blocks_);
  return it == blocks_.end() ? total_ / kBlockBytes : it->first;
}

void OutputStore::Trim() {
  for (;;) {
    const auto it = blocks_.lower_bound(head_blocks_);
    if (it == blocks_.end()) return;
    const uint64_t end = (it->first + 1) * kBlockBytes;
    if (end > total_ || total_ - end < tail_bytes_) return;
    if (end > spool_end_) {
      if (spooling_) return;
      if (keep_unread_ && end > released_) return;
      dropped_ += kBlockBytes;
    }
    memory_ -= it->second.capacity();
    blocks_.erase(it);
  }
}

OutputStore::Place OutputStore::Locate(uint64_t from, uint64_t max) const {
  Place place;
  place.at = std::min(from, total_);
  if (from >= total_ || max == 0) return place;
  const uint64_t index = from / kBlockBytes;
  auto it = blocks_.find(index);
  if (it == blocks_.end()) {
    if (from >= spool_begin_ && from < spool_end_) {
      place.kind = Place::Kind::kFile;
      place.size = std::min({max, spool_end_ - from, kBlockBytes});
      place.file_offset = from - spool_begin_;
      return place;
    }
    it = blocks_.upper_bound(index);
    if (it == blocks_.end()) {  // Forgotten.
      place.at = total_;
      return place;
    }
    place.at = it->first * kBlockBytes;
  }
  place.kind = Place::Kind::kMemory;
  place.bytes = absl::string_view(it->second)
                    .substr(place.at - it->first * kBlockBytes, max);
  place.size = place.bytes.size();
  return place;
}

std::string OutputStore::Contiguous(uint64_t from, uint64_t max) const {
  std::string out;
  while (out.size() < max) {
    const Place place = Locate(from + out.size(), max - out.size());
    if (place.kind != Place::Kind::kMemory || place.at != from + out.size())
      break;
    out.append(place.bytes.data(), place.bytes.size());
  }
  return out;
}

uint64_t OutputStore::tail_begin() const {
  if (blocks_.empty()) return total_;
  uint64_t index = blocks_.rbegin()->first;
  for (auto it = blocks_.rbegin(); it != blocks_.rend(); ++it) {
    if (it->first != index) break;
    if (index-- == 0) return 0;
  }
  return (index + 1) * kBlockBytes;
}

std::optional<OutputStore::Piece> OutputStore::NextToSpool() const {
  if (!spooling_) return std::nullopt;
  const auto it = blocks_.find(spool_end_ / kBlockBytes);
  if (it == blocks_.end()) return std::nullopt;
  const uint64_t end = spool_end_ + kBlockBytes;
  // Only what would be dropped: a command that says little writes no file.
  if (end > total_ || total_ - end < tail_bytes_) return std::nullopt;
  return Piece{spool_end_ - spool_begin_, it->second};
}

void OutputStore::OnSpooled() {
  if (!spooling_) return;
  KINE_CHECK(NextToSpool().has_value());
  spool_end_ += kBlockBytes;
  Trim();
}

void OutputStore::EndSpool() {
  spooling_ = false;
  Trim();
}

bool OutputStore::backlogged() const {
  if (!spooling_) return false;
  const uint64_t kept = total_ - std::min(total_, spool_end_);
  return kept > tail_bytes_ + kSpoolBacklogBlocks * kBlockBytes;
}

void OutputStore::Release(uint64_t from) {
  released_ = std::max(released_, std::min(from, total_));
  if (keep_unread_) Trim();
}

bool OutputStore::full() const {
  if (!keep_unread_ || spooling_) return false;
  const uint64_t first = FirstTailBlock() * kBlockBytes;
  return total_ >= first + tail_bytes_ + kBlockBytes;
}

void OutputStore::Squeeze() {
  const uint64_t used = (total_ + kBlockBytes - 1) / kBlockBytes;
  if (head_blocks_ > used) {
    head_blocks_ = std::max<uint64_t>(used, 1);
    if (spool_end_ == spool_begin_)
      spool_begin_ = spool_end_ = head_blocks_ * kBlockBytes;
  }
  tail_bytes_ = std::min(tail_bytes_, kBlockBytes);
  Trim();
}

void OutputStore::Forget() {
  blocks_.clear();
  memory_ = 0;
  spooling_ = false;
  spool_end_ = spool_begin_;
  dropped_ = total_;
}

}  // namespace kine
