// Append-only files of JSON lines, each ending in `,"crc":"xxxxxxxx"}`, the
// CRC-32C of the line before it. Whatever a crash leaves, a reader gets every
// line up to the first that fails, and nothing else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "daemon/base/fd.h"
#include "daemon/base/loop.h"
#include "daemon/storage/file_io.h"

namespace kine {

// Writes one such file through FileIo. Loop thread only.
//
// Lines are collected and written limits::kLogFlushMs after the first of them;
// when nothing changes nothing is written. A batch is written, not synced: it
// survives the process, and power loss once AppendNow() or Sync() said so. One
// write or sync is under way at a time.
//
// The first error is final: it goes to every waiting callback and to
// `on_error`, and every later call returns it. Damaged side files never fail
// the video, so the owner may carry on without the log.
//
// Destroy after Close()'s callback, or after the FileIo.
class AppendLog {
 public:
  using Done = FileIo::Done;

  // `fd` is open for writing; `offset` is its end: 0, or what
  // RecoverAppendLog() returned. Both references outlive this.
  AppendLog(Loop& loop, FileIo& file_io, UniqueFd fd, uint64_t offset,
            Done on_error);

  // Appends `object`, a JSON object with at least one member and no newline.
  // RESOURCE_EXHAUSTED above limits::kLogLineBytesMax, or when
  // limits::kLogBufferBytesMax wait for a slow disk: the line is then lost.
  absl::Status Append(absl::string_view object);

  // The same, at once; `done` runs when the line survives power loss, or with
  // the error.
  void AppendNow(absl::string_view object, Done done);

  // `done` runs when every line appended before can be read by others: it is
  // written at once, and survives the process.
  void Flush(Done done);

  // `done` runs when every line appended before survives power loss.
  void Sync(Done done);

  // Sync(), and the file is closed. No call may follow.
  void Close(Done done);

  // The end of what has been written: a reader finds whole lines up to there.
  uint64_t written_bytes() const { return offset_; }
  const absl::Status& status() const { return status_; }

 private:
  struct Waiter {
    uint64_t end;  // Waits until the file is so up to here.
    Done done;
  };

  absl::Status Add(absl::string_view object);
  uint64_t end() const { return offset_ + in_flight_bytes_ + buffer_.size(); }
  void AddWaiter(Done done);
  void Answer(absl::Status status, Done done);
  // Starts what is due when nothing is under way.
  void Continue();
  void Write();
  void OnWritten(absl::Status status);
  void OnSynced(absl::Status status);
  void Fail(absl::Status status);

  Loop& loop_;
  FileIo& file_io_;
  UniqueFd fd_;
  uint64_t offset_;
  Done on_error_;
  absl::Status status_;

  std::vector<std::byte> buffer_;  // Not yet given to file_io_.
  uint64_t in_flight_bytes_ = 0;   // Given to it, not yet written.
  bool busy_ = false;              // A write or a sync is under way.
  bool closing_ = false;
  std::deque<Waiter> waiters_;   // For syncs, by rising `end`.
  std::deque<Waiter> flushing_;  // For writes, likewise.
  LoopHandle flush_timer_;
};

// `,"crc":"xxxxxxxx"}` in place of the object's last brace.
inline constexpr size_t kLogSealBytes = 18;

// `object` with its CRC, as a line with its newline: kLogSealBytes longer.
std::string SealLine(absl::string_view object);

struct LogSummary {
  uint64_t good_bytes = 0;  // Up to and including the last good line.
  uint64_t lines = 0;
  bool damaged = false;  // Something followed that is no good line.
};

// Calls `line` with each object as it was appended, up to the first bad line.
// Blocks. An unfinished last line counts as damage.
absl::StatusOr<LogSummary> ReadAppendLog(
    int fd, absl::FunctionRef<void(absl::string_view object)> line);

// Finds the end of the good lines and cuts off what follows, so that appending
// can go on. `fd` is open for reading and writing. Blocks: use FileIo::Run().
absl::StatusOr<LogSummary> RecoverAppendLog(int fd);

}  // namespace kine
