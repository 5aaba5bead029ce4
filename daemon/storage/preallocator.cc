#include "daemon/storage/preallocator.h"

#include <algorithm>
#include <utility>

#include "daemon/base/check.h"
#include "daemon/storage/blocking_io.h"

namespace kine {

Preallocator::Preallocator(FileIo& file_io, int fd, uint64_t offset,
                           uint64_t step, OnRefused on_refused)
    : file_io_(file_io),
      fd_(fd),
      step_(step),
      on_refused_(std::move(on_refused)),
      reserved_(offset) {
  KINE_CHECK(step > 0);
}

void Preallocator::Advance(uint64_t end) {
  KINE_CHECK(!finished_);
  wanted_ = std::max(wanted_, end + step_);
  ReserveMore();
}

void Preallocator::ReserveMore() {
  if (busy_ || !supported_ || reserved_ >= wanted_) return;
  busy_ = true;
  const uint64_t steps = (wanted_ - reserved_ + step_ - 1) / step_;
  const uint64_t end = reserved_ + steps * step_;
  file_io_.Reserve(
      fd_, reserved_, end - reserved_,
      [this, end](absl::Status status) { OnReserved(end, std::move(status)); });
}

void Preallocator::OnReserved(uint64_t end, absl::Status status) {
  busy_ = false;
  if (status.ok()) {
    reserved_ = end;
  } else if (absl::IsUnimplemented(status)) {
    supported_ = false;
  }
  const bool finishing = static_cast<bool>(finished_);
  if (finishing) {
    ReleaseTail(end);
  } else if (status.ok()) {
    ReserveMore();
  }
  // After another refusal only the next Advance() tries again.
  if (!status.ok()) on_refused_(std::move(status));
}

void Preallocator::Finish(uint64_t size, FileIo::Done done) {
  final_size_ = size;
  finished_ = std::move(done);
  if (!busy_) ReleaseTail(reserved_);
}

void Preallocator::ReleaseTail(uint64_t reserved) {
  // A refused reservation may have taken a part.
  const bool behind = reserved > final_size_;
  file_io_.Run(
      [fd = fd_, size = final_size_, behind] {
        return behind ? Truncate(fd, size) : absl::OkStatus();
      },
      std::exchange(finished_, nullptr));
}

}  // namespace kine
