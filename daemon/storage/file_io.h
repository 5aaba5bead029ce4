// FileIo: writes files without blocking the thread that asks. A seam:
// UringFileIo, ThreadFileIo, and tests/fakes/fake_file_io.h. One contract test
// runs against all three.
//
// Threads: all calls come from the loop's thread, and every callback runs on
// it, later, never inside the call. Destroying a FileIo (never from inside one
// of its callbacks) waits for what the kernel and the worker have begun, drops
// what still queues, and runs no further callbacks.
//
// Order: operations may finish in any order. A caller that needs one after
// another starts the second in the first one's callback; no linked
// submissions (a short write breaks a chain).
//
// Errors: a write either wrote every byte or failed; short writes and EINTR are
// finished inside. Statuses carry the errno and the operation, not the path,
// which the caller knows. RESOURCE_EXHAUSTED without an errno: more than
// limits::kFileIoOperationsMax operations or kFileIoBytesMax bytes wait.
//
// Descriptors must stay open until the callback. Offsets are explicit, never
// the file position.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"

namespace kine {

class FileIo {
 public:
  using Done = absl::AnyInvocable<void(absl::Status)>;
  // A blocking piece of work for FileIo's worker, where the calls below do not
  // suffice (rename, directory fsync, ftruncate). Must not touch anything of
  // the loop's.
  using Work = absl::AnyInvocable<absl::Status()>;

  virtual ~FileIo() = default;

  // Writes `data` at `offset`.
  virtual void WriteAt(int fd, uint64_t offset, std::vector<std::byte> data,
                       Done done) = 0;

  // fdatasync: every write to `fd` whose callback has run survives power loss.
  // After a failed sync the data must be taken as lost; never sync again and
  // believe it.
  virtual void Sync(int fd, Done done) = 0;

  // fallocate(FALLOC_FL_KEEP_SIZE): reserves [offset, offset + length).
  // UNIMPLEMENTED where the file system cannot.
  virtual void Reserve(int fd, uint64_t offset, uint64_t length, Done done) = 0;

  // Runs `work` on a worker thread.
  virtual void Run(Work work, Done done) = 0;

  // Operations whose callback has not run yet.
  virtual size_t pending() const = 0;
};

}  // namespace kine
