// The end of a VideoWriter: finalise or flush, give space back, report.
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "daemon/base/check.h"
#include "daemon/recorder/video_writer.h"

namespace kine {

void VideoWriter::Finish(MonoTime end, Done done) {
  if (first_time_.has_value()) end_ticks_ = Ticks(end);
  BeginEnding(Ending::kFinish, std::move(done));
}

void VideoWriter::Flush(Done done) {
  BeginEnding(Ending::kFlush, std::move(done));
}

void VideoWriter::BeginEnding(Ending ending, Done done) {
  KINE_CHECK(ending_ == Ending::kNo);
  ending_ = ending;
  done_ = std::move(done);
  fragment_timer_.Cancel();
  slow_timer_.Cancel();
  alive_.Pause();
  close_wanted_ = true;
  if (!busy_) Pump();
}

void VideoWriter::Finalise() {
  if (samples_ == 0 && durable_bytes_ == 0)
    return Leave(absl::NotFoundError("no frame came"));
  FinaliseTrust trust;
  trust.durable_bytes = durable_bytes_;
  trust.bytes_max = sync_failed_ ? durable_bytes_ : bytes_;
  auto done = [this](absl::StatusOr<FinaliseResult> result) {
    Leave(std::move(result));
  };
  const uint64_t until =
      std::clamp(end_ticks_, last_ticks_, last_ticks_ + mp4::kSampleTicksMax);
  // What was thrown away is still in the index, and does not end at the stop.
  if (!failed_.ok()) return finaliser_.FinishFromFile(trust, 0, done);
  if (!mp4_->index_complete())
    return finaliser_.FinishFromFile(trust, until, done);
  finaliser_.FinishFromIndex(std::move(*mp4_).TakeFile(), until, trust, done);
}

void VideoWriter::SyncBeforeExit() {
  if (!failed_.ok()) return Leave(failed_);
  if (bytes_ == durable_bytes_) return Leave(FinaliseResult());
  file_io_.Sync(files_.video.get(), [this](absl::Status status) {
    if (!status.ok()) return Leave(std::move(status));
    durable_bytes_ = bytes_;
    durable_ticks_ = written_ticks_;
    Leave(FinaliseResult());
  });
}

void VideoWriter::Leave(absl::StatusOr<FinaliseResult> result) {
  // The finaliser has synced what was not.
  if (result.ok() && failed_.ok() && fragments_ > 0) {
    Piece last;
    last.number = fragments_;
    TracePiece(TraceKind::kDurable, last);
  }
  result_ = std::move(result);
  leaving_ = 2;
  auto left = [this] {
    --leaving_;
    EndIfQuiet();
  };
  struct stat info;
  KINE_CHECK(::fstat(files_.video.get(), &info) == 0);
  // A refused release only leaves allocated blocks behind the file's end.
  preallocator_.Finish(static_cast<uint64_t>(info.st_size),
                       [left](absl::Status) { left(); });
  alive_.Stop(left);
}

void VideoWriter::EndIfQuiet() {
  if (!result_.has_value() || leaving_ > 0 || space_checks_ > 0) return;
  // `done` may destroy this.
  Done done = std::move(done_);
  done(*std::exchange(result_, std::nullopt));
}

}  // namespace kine
