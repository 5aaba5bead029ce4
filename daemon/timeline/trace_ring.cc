#include "daemon/timeline/trace_ring.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <span>
#include <utility>

#include "daemon/base/crc32c.h"
#include "daemon/base/limits/trace.h"
#include "daemon/base/status.h"
#include "daemon/storage/blocking_io.h"
#include "daemon/storage/directory.h"

namespace kine {

// In front of the records, in memory and in the file.
struct TraceRing::Header {
  std::array<char, 8> magic;
  uint32_t record_bytes;
  uint32_t crc;  // Of a file's records.
  std::atomic<int32_t> pid;
  std::array<std::atomic<int32_t>, 3> threads;  // By Thread.
  std::atomic<uint64_t> written;
  std::array<uint64_t, 3> unused;
};

namespace {

using Magic = std::array<char, 8>;
constexpr Magic kRingMagic = {'K', 'I', 'N', 'E', 'r', 'i', 'n', 'g'};
constexpr Magic kFileMagic = {'K', 'I', 'N', 'E', 't', 'r', 'c', '1'};
constexpr size_t kHeaderBytes = 64;
constexpr size_t kRingBytes =
    kHeaderBytes + limits::kTraceRecords * sizeof(TraceRecord);
// No clock is there for longer than a century; sums of these do not overflow.
constexpr int64_t kTimeMax = int64_t{1} << 61;

static_assert(std::atomic<uint64_t>::is_always_lock_free);
static_assert(std::is_trivially_copyable_v<TraceRecord>);

// The same, as it is read: no atomics in another process's memory.
struct PlainHeader {
  Magic magic;
  uint32_t record_bytes;
  uint32_t crc;
  std::array<int32_t, 4> numbers;
  uint64_t written;
  std::array<uint64_t, 3> unused;
};
static_assert(sizeof(PlainHeader) == kHeaderBytes);

template <size_t kSize>
void CopyText(absl::string_view text, std::array<char, kSize>& out) {
  const size_t length = std::min(text.size(), kSize - 1);
  std::copy_n(text.data(), length, out.data());
}

bool ValidTime(int64_t time) { return time >= 0 && time < kTimeMax; }

// What can be worked with: another process wrote it, or a disk kept it.
bool IsValid(const TraceRecord& record) {
  if (!ValidTime(record.at)) return false;
  switch (record.kind) {
    case TraceKind::kPacket: {
      const TracePacket& p = record.packet;
      return ValidTime(p.time) && ValidTime(p.arrival) &&
             ValidTime(p.stalled) && ValidTime(p.encode_start) &&
             ValidTime(p.encode_end);
    }
    case TraceKind::kFragment:
    case TraceKind::kWrite:
    case TraceKind::kWritten:
    case TraceKind::kDurable:
    case TraceKind::kNote:
      return true;
  }
  return false;  // Of a later version.
}

absl::StatusOr<PlainHeader> ReadHeader(int fd) {
  PlainHeader header;
  KINE_ASSIGN_OR_RETURN(
      const size_t got,
      ReadFully(fd, 0, std::as_writable_bytes(std::span(&header, 1))));
  if (got != sizeof header ||
      (header.magic != kRingMagic && header.magic != kFileMagic) ||
      header.record_bytes != sizeof(TraceRecord))
    return absl::DataLossError("this is no trace");
  return header;
}

}  // namespace

absl::StatusOr<UniqueFd> MakeTraceMemory() {
  UniqueFd memory(
      ::memfd_create("kine-trace", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memory.valid() ||
      ::ftruncate(memory.get(), static_cast<off_t>(kRingBytes)) != 0 ||
      ::fcntl(memory.get(), F_ADD_SEALS,
              F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    return ErrnoStatus(errno, "memory for a trace");
  PlainHeader header{};
  header.magic = kRingMagic;
  header.record_bytes = sizeof(TraceRecord);
  KINE_RETURN_IF_ERROR(
      WriteFully(memory.get(), 0, std::as_bytes(std::span(&header, 1))));
  return memory;
}

absl::StatusOr<std::shared_ptr<TraceRing>> TraceRing::Map(
    const UniqueFd& memory) {
  static_assert(sizeof(Header) == kHeaderBytes);
  struct stat info;
  if (::fstat(memory.get(), &info) != 0 ||
      info.st_size != static_cast<off_t>(kRingBytes) ||
      !ReadHeader(memory.get()).ok())
    return absl::InvalidArgumentError("this is no memory for a trace");
  void* const at = ::mmap(nullptr, kRingBytes, PROT_READ | PROT_WRITE,
                          MAP_SHARED, memory.get(), 0);
  if (at == MAP_FAILED) return ErrnoStatus(errno, "map the trace");
  auto* const header = static_cast<Header*>(at);
  header->pid = ::getpid();
  auto* const records = reinterpret_cast<TraceRecord*>(header + 1);
  std::shared_ptr<TraceRing> ring(new TraceRing(header, records));
  ring->NameThread(Thread::kControl);
  return ring;
}

TraceRing::~TraceRing() { ::munmap(header_, kRingBytes); }

void TraceRing::NameThread(Thread thread) {
  header_->threads[static_cast<size_t>(thread)] = ::gettid();
}

TraceRecord& TraceRing::Begin(MonoTime at, TraceKind kind) {
  TraceRecord& record = records_[written_ % limits::kTraceRecords];
  // Who reads meanwhile takes it for none.
  std::atomic_ref(record.number).store(0, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  record.at = at.nanos();
  record.kind = kind;
  return record;
}

void TraceRing::Publish(TraceRecord& record) {
  ++written_;
  std::atomic_ref(record.number).store(written_, std::memory_order_release);
  header_->written.store(written_, std::memory_order_release);
}

void TraceRing::Add(MonoTime at, const TracePacket& packet) {
  TraceRecord& record = Begin(at, TraceKind::kPacket);
  record.packet = packet;
  Publish(record);
}

void TraceRing::Add(MonoTime at, TraceKind kind,
                    const TraceFragment& fragment) {
  TraceRecord& record = Begin(at, kind);
  record.fragment = fragment;
  Publish(record);
}

void TraceRing::Note(MonoTime at, absl::string_view name,
                     absl::string_view text) {
  TraceRecord& record = Begin(at, TraceKind::kNote);
  record.note = TraceNote();
  CopyText(name, record.note.name);
  CopyText(text, record.note.text);
  Publish(record);
}

absl::StatusOr<Trace> ReadTrace(int fd) {
  KINE_ASSIGN_OR_RETURN(PlainHeader header, ReadHeader(fd));
  Trace trace;
  trace.pid = header.numbers[0];
  trace.control_thread = header.numbers[1];
  trace.source_thread = header.numbers[2];
  trace.encode_thread = header.numbers[3];
  trace.records.resize(limits::kTraceRecords);
  KINE_ASSIGN_OR_RETURN(
      const size_t got,
      ReadFully(fd, kHeaderBytes,
                std::as_writable_bytes(std::span(trace.records))));
  trace.records.resize(got / sizeof(TraceRecord));
  uint64_t oldest = 1;
  if (header.magic == kFileMagic) {
    if (Crc32c(0, std::as_bytes(std::span(trace.records))) != header.crc)
      return absl::DataLossError("the trace is damaged");
  } else {
    // What the one behind the newest took the place of may be torn.
    KINE_ASSIGN_OR_RETURN(header, ReadHeader(fd));
    if (header.written >= limits::kTraceRecords)
      oldest = header.written - limits::kTraceRecords + 2;
  }
  std::erase_if(trace.records, [&](const TraceRecord& record) {
    return record.number < oldest || record.number > header.written ||
           !IsValid(record);
  });
  std::ranges::sort(trace.records, {}, &TraceRecord::number);
  return trace;
}

absl::Status KeepTrace(int dir_fd, const Trace& trace) {
  const auto records = std::as_bytes(std::span(trace.records));
  PlainHeader header{};
  header.magic = kFileMagic;
  header.record_bytes = sizeof(TraceRecord);
  header.crc = Crc32c(0, records);
  header.numbers = {trace.pid, trace.control_thread, trace.source_thread,
                    trace.encode_thread};
  if (!trace.records.empty()) header.written = trace.records.back().number;
  const auto head = std::as_bytes(std::span(&header, 1));
  std::vector<std::byte> bytes(head.begin(), head.end());
  bytes.insert(bytes.end(), records.begin(), records.end());
  KINE_ASSIGN_OR_RETURN(
      const UniqueFd file,
      OpenBeneath(dir_fd, kTraceFileName, O_WRONLY | O_CREAT | O_TRUNC));
  return WriteFully(file.get(), 0, bytes);
}

}  // namespace kine
