// OutputStore: what is kept of one stream of a command's output, by absolute
// offset: the first bytes and the last ones in memory, what lies between in a
// file as long as that has room, and for the rest an honest gap.
//
//   [0, head)  memory   [head, spooled)  file   ... gap ...   [tail, total)
//                                                              memory
//
// Pure: no I/O, no clock, one thread. Whoever owns it writes the file: it takes
// NextToSpool(), writes it, and says OnSpooled(). Blocks of kBlockBytes are
// kept or dropped whole, so a little more is kept than was asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace kine {

class OutputStore {
 public:
  static constexpr uint64_t kBlockBytes = 64u << 10;
  // Blocks that wait for the file before reading should pause.
  static constexpr uint64_t kSpoolBacklogBlocks = 8;

  struct Options {
    uint64_t head_bytes = 0;
    uint64_t tail_bytes = 0;
    bool spool = false;
    // Nothing is dropped that no reader has asked to be past: full().
    bool keep_unread = false;
  };
  // Where the bytes from an offset on are.
  struct Place {
    enum class Kind { kMemory, kFile, kEnd };
    Kind kind = Kind::kEnd;
    uint64_t at = 0;    // Where the bytes begin: behind the gap, if any.
    uint64_t size = 0;  // 0 at the end.
    uint64_t file_offset = 0;
    absl::string_view bytes;  // In memory; until the next Append() or Trim().
  };

  explicit OutputStore(const Options& options);

  void Append(absl::string_view bytes);
  // One block, or less, at most `max`. `place.at > from` is a gap.
  Place Locate(uint64_t from, uint64_t max) const;
  // Copies bytes as long as they are in memory and without a gap, from `from`
  // to at most `max` further.
  std::string Contiguous(uint64_t from, uint64_t max) const;
  // The offset from which on everything up to the end is in memory.
  uint64_t tail_begin() const;

  // Something has to go to the file first. Until OnSpooled() the same again.
  struct Piece {
    uint64_t file_offset = 0;
    absl::string_view bytes;
  };
  std::optional<Piece> NextToSpool() const;
  void OnSpooled();
  // No more goes to the file: it is full, or cannot be written.
  void EndSpool();
  bool spooling() const { return spooling_; }
  // Too much waits for the file.
  bool backlogged() const;

  // A reader asks for `from`: what is before may go, with keep_unread.
  void Release(uint64_t from);
  // keep_unread, and there is no room: to read more would lose something.
  bool full() const;
  // Memory is short: keep only a block at both ends from now on.
  void Squeeze();
  // Everything goes; total() stays.
  void Forget();

  uint64_t total() const { return total_; }
  // Bytes that Locate() does not find any more.
  uint64_t dropped() const { return dropped_; }
  uint64_t memory() const { return memory_; }
  uint64_t spooled_bytes() const { return spool_end_ - spool_begin_; }

 private:
  void Trim();
  uint64_t FirstTailBlock() const;

  uint64_t head_blocks_;
  uint64_t tail_bytes_;
  const bool keep_unread_;
  bool spooling_;
  std::map<uint64_t, std::string> blocks_;  // By offset / kBlockBytes.
  uint64_t total_ = 0;
  uint64_t dropped_ = 0;
  uint64_t memory_ = 0;
  uint64_t released_ = 0;
  uint64_t spool_begin_ = 0;
  uint64_t spool_end_ = 0;
};

}  // namespace kine
