#include "daemon/storage/append_log.h"

#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "daemon/base/check.h"
#include "daemon/base/limits.h"

namespace kine {

AppendLog::AppendLog(Loop& loop, FileIo& file_io, UniqueFd fd, uint64_t offset,
                     Done on_error)
    : loop_(loop),
      file_io_(file_io),
      fd_(std::move(fd)),
      offset_(offset),
      on_error_(std::move(on_error)) {}

absl::Status AppendLog::Add(absl::string_view object) {
  KINE_CHECK(loop_.IsCurrent());
  KINE_CHECK(!closing_);
  KINE_CHECK(object.size() > 2 && object.front() == '{' &&
             object.back() == '}' &&
             object.find('\n') == absl::string_view::npos);
  if (!status_.ok()) return status_;
  if (object.size() > limits::kLogLineBytesMax) {
    return absl::ResourceExhaustedError(
        absl::StrCat("a line of ", object.size(), " bytes, more than ",
                     limits::kLogLineBytesMax));
  }
  const std::string line = SealLine(object);
  if (buffer_.size() + line.size() > limits::kLogBufferBytesMax) {
    return absl::ResourceExhaustedError(
        absl::StrCat(buffer_.size(), " bytes of lines wait for the disk"));
  }
  const auto bytes = std::as_bytes(std::span(line));
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  return absl::OkStatus();
}

absl::Status AppendLog::Append(absl::string_view object) {
  absl::Status status = Add(object);
  Continue();
  return status;
}

void AppendLog::AppendNow(absl::string_view object, Done done) {
  absl::Status status = Add(object);
  if (!status.ok()) return Answer(std::move(status), std::move(done));
  AddWaiter(std::move(done));
}

void AppendLog::Flush(Done done) {
  KINE_CHECK(loop_.IsCurrent());
  KINE_CHECK(!closing_);
  if (!status_.ok()) return Answer(status_, std::move(done));
  if (end() == offset_) return Answer(absl::OkStatus(), std::move(done));
  flushing_.push_back({end(), std::move(done)});
  Continue();
}

void AppendLog::Sync(Done done) {
  KINE_CHECK(loop_.IsCurrent());
  KINE_CHECK(!closing_);
  if (!status_.ok()) return Answer(status_, std::move(done));
  AddWaiter(std::move(done));
}

void AppendLog::Close(Done done) {
  Sync([this, done = std::move(done)](absl::Status status) mutable {
    fd_.Reset();
    done(std::move(status));
  });
  closing_ = true;
}

void AppendLog::Answer(absl::Status status, Done done) {
  loop_.Post([status = std::move(status), done = std::move(done)]() mutable {
    done(std::move(status));
  });
}

void AppendLog::AddWaiter(Done done) {
  waiters_.push_back({end(), std::move(done)});
  Continue();
}

void AppendLog::Continue() {
  if (busy_ || !status_.ok()) return;
  // A waiter whose lines are written goes before newer lines, or a busy log
  // would never come to sync.
  if (!waiters_.empty() && waiters_.front().end <= offset_) {
    busy_ = true;
    file_io_.Sync(fd_.get(),
                  [this](absl::Status status) { OnSynced(std::move(status)); });
    return;
  }
  if (buffer_.empty()) return;
  if (!waiters_.empty() || !flushing_.empty()) return Write();
  if (flush_timer_.active()) return;
  flush_timer_ = LoopHandle(
      loop_, loop_.PostAfter(absl::Milliseconds(limits::kLogFlushMs), [this] {
        flush_timer_.Cancel();
        if (!busy_ && status_.ok() && !buffer_.empty()) Write();
      }));
}

void AppendLog::Write() {
  busy_ = true;
  flush_timer_.Cancel();
  in_flight_bytes_ = buffer_.size();
  file_io_.WriteAt(
      fd_.get(), offset_, std::exchange(buffer_, {}),
      [this](absl::Status status) { OnWritten(std::move(status)); });
}

void AppendLog::OnWritten(absl::Status status) {
  busy_ = false;
  if (!status.ok()) return Fail(std::move(status));
  offset_ += std::exchange(in_flight_bytes_, 0);
  std::vector<Done> ready;
  while (!flushing_.empty() && flushing_.front().end <= offset_) {
    ready.push_back(std::move(flushing_.front().done));
    flushing_.pop_front();
  }
  Continue();
  // The last may destroy this.
  for (Done& done : ready) done(absl::OkStatus());
}

void AppendLog::OnSynced(absl::Status status) {
  busy_ = false;
  if (!status.ok()) return Fail(std::move(status));
  // Nothing was written meanwhile, so the sync covered up to offset_.
  std::vector<Done> ready;
  while (!waiters_.empty() && waiters_.front().end <= offset_) {
    ready.push_back(std::move(waiters_.front().done));
    waiters_.pop_front();
  }
  Continue();
  // The last may destroy this.
  for (Done& done : ready) done(absl::OkStatus());
}

void AppendLog::Fail(absl::Status status) {
  status_ = status;
  flush_timer_.Cancel();
  buffer_.clear();
  std::deque<Waiter> waiters;
  waiters.swap(waiters_);
  for (Waiter& waiter : std::exchange(flushing_, {}))
    waiters.push_back(std::move(waiter));
  if (on_error_) std::exchange(on_error_, nullptr)(status);
  // The last may destroy this.
  for (Waiter& waiter : waiters) waiter.done(status);
}

}  // namespace kine
