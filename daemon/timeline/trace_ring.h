// TraceRing: what the pipeline of one recording did last, kept in memory that
// the daemon lends to the recorder: it can be read while the recorder runs,
// hangs, and when it has died, without asking it.
//
//   kinescoped: MakeTraceMemory() ── fd, with Start ──▶ recorder: Map(), Add...
//   kinescoped: ReadTrace() whenever somebody asks; KeepTrace() at the end
//
// A record costs a few stores into mapped memory: no lock, no allocation, no
// system call. The oldest are overwritten.
//
// Threads: one writes, the control loop's; the threads' numbers may be set from
// any. Read by anybody, in another process too: what is being overwritten
// meanwhile is left out.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "daemon/base/clock.h"
#include "daemon/base/fd.h"

namespace kine {

// On disks too: numbers are never given to another.
enum class TraceKind : uint32_t {
  kPacket = 1,
  kFragment = 2,  // Closed; of the packets since the one before.
  kWrite = 3,     // The write of it was submitted,
  kWritten = 4,   // was completed,
  kDurable = 5,   // and it and all before it are on the disk.
  kNote = 6,
};

// One picture, when its packet came to the control thread. CLOCK_MONOTONIC in
// nanoseconds.
struct TracePacket {
  static constexpr uint32_t kKeyframe = 1;
  static constexpr uint32_t kRefinement = 2;
  static constexpr uint32_t kDropped = 4;  // Came too late for the file.

  int64_t time = 0;     // The frame's own.
  int64_t arrival = 0;  // In this process.
  int64_t stalled = 0;  // It, or one before it, had no credit since; 0: none.
  int64_t encode_start = 0;
  int64_t encode_end = 0;
  uint32_t convert_ns = 0;   // At the start of encoding; 0: not told apart.
  uint32_t queue_bytes = 0;  // Between encoder and disk, with it.
  uint32_t queue_packets = 0;
  uint32_t bytes = 0;
  uint32_t damaged_macroblocks = 0;
  uint32_t replaced = 0;   // Frames before it that were given up for it,
  uint32_t unchanged = 0;  // and those that looked the same as what was there.
  uint32_t flags = 0;
};

// kFragment to kDurable.
struct TraceFragment {
  uint64_t number = 0;  // From 1, in the order of the file.
  uint64_t bytes = 0;
  uint64_t queue_bytes = 0;  // Between encoder and disk, behind it.
  uint32_t queue_packets = 0;
  uint32_t packets = 0;
};

// Something that happened, in words; cut to what there is room for.
struct TraceNote {
  std::array<char, 16> name{};
  std::array<char, 56> text{};
};

struct TraceRecord {
  TraceRecord() : note() {}

  uint64_t number = 0;  // From 1; 0: being written, or nothing yet.
  int64_t at = 0;       // CLOCK_MONOTONIC, nanoseconds.
  TraceKind kind = TraceKind::kNote;
  uint32_t unused = 0;
  union {
    TracePacket packet;
    TraceFragment fragment;
    TraceNote note;
  };
};
static_assert(sizeof(TraceRecord) == 96);

class TraceRing {
 public:
  // `memory`: of MakeTraceMemory(), else INVALID_ARGUMENT. Once.
  static absl::StatusOr<std::shared_ptr<TraceRing>> Map(const UniqueFd& memory);
  ~TraceRing();
  TraceRing(const TraceRing&) = delete;
  TraceRing& operator=(const TraceRing&) = delete;

  enum class Thread { kControl, kSource, kEncode };
  // The calling thread is this one.
  void NameThread(Thread thread);

  void Add(MonoTime at, const TracePacket& packet);
  // `kind`: kFragment to kDurable.
  void Add(MonoTime at, TraceKind kind, const TraceFragment& fragment);
  // `name` "paused", "fallback"...; `text` for people.
  void Note(MonoTime at, absl::string_view name, absl::string_view text = "");

 private:
  struct Header;
  TraceRing(Header* header, TraceRecord* records)
      : header_(header), records_(records) {}
  TraceRecord& Begin(MonoTime at, TraceKind kind);
  void Publish(TraceRecord& record);

  Header* const header_;
  TraceRecord* const records_;
  uint64_t written_ = 0;
};

// What was read of a ring, oldest first.
struct Trace {
  pid_t pid = 0;
  pid_t control_thread = 0;
  pid_t source_thread = 0;
  pid_t encode_thread = 0;
  std::vector<TraceRecord> records;
};

// Memory for one ring, empty, whose size nobody can change. Quick.
absl::StatusOr<UniqueFd> MakeTraceMemory();

// Of such memory, or of what KeepTrace() wrote into a file. DATA_LOSS for what
// is neither. Blocks.
absl::StatusOr<Trace> ReadTrace(int fd);

inline constexpr char kTraceFileName[] = "trace";

// Writes it to kTraceFileName in that directory, without a sync: a power loss
// that damages it is seen when it is read. Blocks.
absl::Status KeepTrace(int dir_fd, const Trace& trace);

// For chrome://tracing and ui.perfetto.dev: {"traceEvents": [...]}. At most
// limits::kTraceRecordJsonBytes a record.
std::string TraceJson(const Trace& trace, absl::string_view recording_id);

}  // namespace kine
