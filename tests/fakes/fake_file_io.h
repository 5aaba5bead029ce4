// FakeFileIo: a disk in memory that finishes nothing on its own. A test, or the
// FakeWorld it was added to as an actor, decides which operation ends next.
//
//   FakeWorld world(seed);
//   FakeFileIo disk(&world.AddLoop("control"));
//   world.AddActor(disk);              // Or without a world: disk.RunAll().
//   disk.FailNext(3, ENOSPC);
//   ... run ...
//   EXPECT_EQ(disk.Contents(fd), ...); disk.AfterPowerLoss(fd, seed)
//
// Descriptors are only names here, any number above -1 is a file; with
// set_write_through() they are real and get every byte as well. Work given to
// Run() is really done, when its turn comes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "daemon/base/loop.h"
#include "daemon/storage/file_io.h"
#include "tests/fakes/fake_loop.h"

namespace kine {

class FakeFileIo final : public FileIo, public FakeActor {
 public:
  using Bytes = std::vector<std::byte>;

  struct Counts {
    size_t writes = 0;
    size_t syncs = 0;
    size_t reserves = 0;
    size_t runs = 0;
    uint64_t bytes = 0;  // Written.
  };

  // Callbacks are posted to `loop`, or run inside RunOne() when it is null.
  explicit FakeFileIo(Loop* loop = nullptr) : loop_(loop) {}
  ~FakeFileIo() override;

  void WriteAt(int fd, uint64_t offset, Bytes data, Done done) override;
  void Sync(int fd, Done done) override;
  void Reserve(int fd, uint64_t offset, uint64_t length, Done done) override;
  void Run(Work work, Done done) override;
  size_t pending() const override { return pending_; }

  // Operations that the disk has not done yet, oldest first.
  size_t queued() const { return queue_.size(); }
  void RunOne(size_t index = 0);
  // Until nothing is queued, oldest first, with what callbacks add.
  void RunAll();
  bool HasWork() const override { return !queue_.empty(); }
  void StepOne(uint64_t random) override;

  // The `n`-th operation started from now on (0: the next) fails with `error`;
  // a write or a reservation keeps its first `kept_bytes`. May be set for many.
  void FailNext(size_t n, int error, uint64_t kept_bytes = 0);
  // ENOSPC above so many bytes in all files; EFBIG above so many in one.
  void set_capacity(uint64_t bytes) { capacity_ = bytes; }
  void set_file_bytes_max(uint64_t bytes) { file_bytes_max_ = bytes; }
  // Reserve() says UNIMPLEMENTED.
  void set_can_reserve(bool can) { can_reserve_ = can; }
  void set_write_through(bool on) { write_through_ = on; }

  // What a reader sees now.
  const Bytes& Contents(int fd) { return files_[fd].contents; }
  // Puts a file there, durably.
  void SetContents(int fd, Bytes contents);
  // What a reader may find after the power went now: everything synced, and of
  // each other write (also one that is queued) nothing, all, or some of its
  // 512-byte sectors, as `seed` decides.
  Bytes AfterPowerLoss(int fd, uint64_t seed) const;

  const Counts& counts() const { return counts_; }

 private:
  struct Write {
    uint64_t sequence;
    uint64_t offset;
    Bytes data;
  };
  struct File {
    Bytes contents;
    Bytes durable;
    std::deque<Write> unsynced;
    // The end of what Reserve() took.
    uint64_t reserved = 0;
  };
  enum class Kind { kWrite, kSync, kReserve, kRun };
  struct Op {
    Kind kind;
    int fd = -1;
    uint64_t offset = 0;
    uint64_t length = 0;
    Bytes data;
    Work work;
    Done done;
    uint64_t number = 0;
    // Sync: writes done before it was asked for, which it covers.
    uint64_t covers = 0;
  };
  struct Fault {
    int error;
    uint64_t kept_bytes;
  };

  void Add(Op op);
  absl::Status Perform(Op& op);
  absl::Status PerformWrite(Op& op, const Fault* fault);
  absl::Status PerformSync(const Op& op);
  absl::Status PerformReserve(const Op& op);
  uint64_t BytesUsed() const;

  Loop* const loop_;
  std::deque<Op> queue_;
  std::map<int, File> files_;
  std::map<uint64_t, Fault> faults_;  // By number of the operation.
  uint64_t started_ = 0;
  uint64_t written_ = 0;
  size_t pending_ = 0;
  uint64_t pending_bytes_ = 0;
  uint64_t capacity_ = UINT64_MAX;
  uint64_t file_bytes_max_ = UINT64_MAX;
  bool can_reserve_ = true;
  bool write_through_ = false;
  Counts counts_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace kine
