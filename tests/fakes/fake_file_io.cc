#include "tests/fakes/fake_file_io.h"

#include <algorithm>
#include <cerrno>
#include <random>
#include <span>
#include <utility>

#include "daemon/base/check.h"
#include "daemon/base/limits.h"
#include "daemon/base/status.h"
#include "daemon/storage/blocking_io.h"

namespace kine {
namespace {

constexpr uint64_t kSectorBytes = 512;

void Apply(FakeFileIo::Bytes& image, uint64_t offset,
           std::span<const std::byte> data) {
  if (data.empty()) return;
  const size_t at = static_cast<size_t>(offset);
  image.resize(std::max(image.size(), at + data.size()));
  std::copy(data.begin(), data.end(),
            image.begin() + static_cast<ptrdiff_t>(at));
}

}  // namespace

FakeFileIo::~FakeFileIo() { *alive_ = false; }

void FakeFileIo::Add(Op op) {
  KINE_CHECK(loop_ == nullptr || loop_->IsCurrent());
  if (pending_ >= limits::kFileIoOperationsMax ||
      op.data.size() > limits::kFileIoBytesMax - pending_bytes_) {
    op.kind = Kind::kRun;
    op.data.clear();
    op.work = [] { return absl::ResourceExhaustedError("file operations"); };
  }
  op.number = started_++;
  ++pending_;
  pending_bytes_ += op.data.size();
  queue_.push_back(std::move(op));
}

void FakeFileIo::WriteAt(int fd, uint64_t offset, Bytes data, Done done) {
  Op op{.kind = Kind::kWrite, .fd = fd, .offset = offset};
  op.data = std::move(data);
  op.done = std::move(done);
  Add(std::move(op));
}

void FakeFileIo::Sync(int fd, Done done) {
  Op op{.kind = Kind::kSync, .fd = fd};
  op.covers = written_;
  op.done = std::move(done);
  Add(std::move(op));
}

void FakeFileIo::Reserve(int fd, uint64_t offset, uint64_t length, Done done) {
  Op op{.kind = Kind::kReserve, .fd = fd, .offset = offset, .length = length};
  op.done = std::move(done);
  Add(std::move(op));
}

void FakeFileIo::Run(Work work, Done done) {
  Op op{.kind = Kind::kRun};
  op.work = std::move(work);
  op.done = std::move(done);
  Add(std::move(op));
}

void FakeFileIo::RunOne(size_t index) {
  KINE_CHECK(index < queue_.size());
  const auto at = queue_.begin() + static_cast<ptrdiff_t>(index);
  Op op = std::move(*at);
  queue_.erase(at);
  const size_t bytes = op.data.size();
  absl::Status status = Perform(op);
  if (loop_ == nullptr) {
    --pending_;
    pending_bytes_ -= bytes;
    op.done(std::move(status));
    return;
  }
  loop_->Post([this, bytes, alive = alive_, done = std::move(op.done),
               status = std::move(status)]() mutable {
    if (!*alive) return;
    --pending_;
    pending_bytes_ -= bytes;
    done(std::move(status));
  });
}

void FakeFileIo::RunAll() {
  while (!queue_.empty()) RunOne();
}

void FakeFileIo::StepOne(uint64_t random) {
  RunOne(static_cast<size_t>(random % queue_.size()));
}

void FakeFileIo::FailNext(size_t n, int error, uint64_t kept_bytes) {
  faults_[started_ + n] = {error, kept_bytes};
}

void FakeFileIo::SetContents(int fd, Bytes contents) {
  File& file = files_[fd];
  file.contents = contents;
  file.durable = std::move(contents);
  file.unsynced.clear();
}

absl::Status FakeFileIo::Perform(Op& op) {
  const auto found = faults_.find(op.number);
  const Fault* const fault = found == faults_.end() ? nullptr : &found->second;
  if (op.kind == Kind::kRun) {
    ++counts_.runs;
    if (fault != nullptr) return ErrnoStatus(fault->error, "run");
    return op.work();
  }
  if (op.fd < 0) return ErrnoStatus(EBADF, "file operation");
  switch (op.kind) {
    case Kind::kWrite:
      ++counts_.writes;
      return PerformWrite(op, fault);
    case Kind::kSync:
      ++counts_.syncs;
      if (fault != nullptr) return ErrnoStatus(fault->error, "fdatasync");
      return PerformSync(op);
    default:
      ++counts_.reserves;
      if (fault != nullptr) {
        op.length = std::min(op.length, fault->kept_bytes);
        (void)PerformReserve(op);
        return ErrnoStatus(fault->error, "fallocate");
      }
      return PerformReserve(op);
  }
}

uint64_t FakeFileIo::BytesUsed() const {
  uint64_t used = 0;
  for (const auto& [fd, file] : files_)
    used += std::max<uint64_t>(file.contents.size(), file.reserved);
  return used;
}

absl::Status FakeFileIo::PerformWrite(Op& op, const Fault* fault) {
  File& file = files_[op.fd];
  int error = fault == nullptr ? 0 : fault->error;
  uint64_t kept = fault == nullptr ? op.data.size() : fault->kept_bytes;
  const uint64_t end = op.offset + op.data.size();
  if (end > file_bytes_max_) {
    error = EFBIG;
    kept =
        std::min(kept, file_bytes_max_ - std::min(op.offset, file_bytes_max_));
  }
  const uint64_t held = std::max<uint64_t>(file.contents.size(), file.reserved);
  const uint64_t free = capacity_ - std::min(capacity_, BytesUsed());
  if (end > held && end - held > free) {
    error = ENOSPC;
    kept = std::min(kept, held + free - std::min(op.offset, held + free));
  }
  op.data.resize(static_cast<size_t>(std::min<uint64_t>(kept, op.data.size())));
  Apply(file.contents, op.offset, op.data);
  counts_.bytes += op.data.size();
  absl::Status real;
  if (write_through_) real = WriteFully(op.fd, op.offset, op.data);
  file.unsynced.push_back({written_++, op.offset, std::move(op.data)});
  if (error != 0) return ErrnoStatus(error, "write");
  return real;
}

absl::Status FakeFileIo::PerformSync(const Op& op) {
  File& file = files_[op.fd];
  // In the order in which they were done; one that was done after the sync was
  // asked for stays in doubt.
  std::deque<Write> in_doubt;
  for (Write& write : file.unsynced) {
    if (write.sequence < op.covers) {
      Apply(file.durable, write.offset, write.data);
    } else {
      in_doubt.push_back(std::move(write));
    }
  }
  file.unsynced = std::move(in_doubt);
  return absl::OkStatus();
}

absl::Status FakeFileIo::PerformReserve(const Op& op) {
  if (!can_reserve_) return ReserveErrorStatus(EOPNOTSUPP);
  File& file = files_[op.fd];
  const uint64_t held = std::max<uint64_t>(file.contents.size(), file.reserved);
  const uint64_t end = op.offset + op.length;
  if (end > held && end - held > capacity_ - std::min(capacity_, BytesUsed()))
    return ReserveErrorStatus(ENOSPC);
  file.reserved = std::max(file.reserved, end);
  return absl::OkStatus();
}

FakeFileIo::Bytes FakeFileIo::AfterPowerLoss(int fd, uint64_t seed) const {
  const auto found = files_.find(fd);
  Bytes image;
  std::vector<Write> in_doubt;
  if (found != files_.end()) {
    image = found->second.durable;
    in_doubt.assign(found->second.unsynced.begin(),
                    found->second.unsynced.end());
  }
  for (const Op& op : queue_) {
    if (op.kind == Kind::kWrite && op.fd == fd)
      in_doubt.push_back({op.number, op.offset, op.data});
  }
  std::mt19937_64 random(seed);
  for (const Write& write : in_doubt) {
    const uint64_t fate = random() % 3;
    if (fate == 0) continue;
    if (fate == 1) {
      Apply(image, write.offset, write.data);
      continue;
    }
    // Sector borders are those of the disk, not of the write.
    const std::span<const std::byte> data(write.data);
    for (uint64_t at = 0; at < data.size();) {
      const uint64_t to_border =
          kSectorBytes - (write.offset + at) % kSectorBytes;
      const uint64_t n = std::min<uint64_t>(to_border, data.size() - at);
      if (random() % 2 == 0)
        Apply(image, write.offset + at,
              data.subspan(static_cast<size_t>(at), static_cast<size_t>(n)));
      at += n;
    }
  }
  return image;
}

}  // namespace kine
