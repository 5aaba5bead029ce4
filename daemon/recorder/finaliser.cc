#include "daemon/recorder/finaliser.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "daemon/base/check.h"
#include "daemon/base/limits.h"
#include "daemon/base/status.h"
#include "daemon/recorder/fd_byte_source.h"
#include "daemon/storage/blocking_io.h"
#include "encode/mp4/movie_reader.h"
#include "encode/mp4/scanner.h"
#include "encode/mp4/view.h"

namespace kine {

// Belongs to the worker until planning is done, then to the control thread:
// FileIo's callback is the hand-over.
struct Finaliser::Job {
  std::optional<mp4::FileMap> map;  // Else the file is read.
  FinaliseTrust trust;
  uint64_t until = 0;
  const FinaliseOptions* options = nullptr;  // The finaliser's own.
  bool complete = false;  // Nothing is to be done but to give space back.
  mp4::FinalisePlan plan;
  size_t next = 0;
  size_t commit = 0;  // The last write of the plan.
  MonoTime start;
  FinaliseResult result;
  Done done;
};

namespace {

using Step = mp4::FinaliseStep;

std::vector<mp4::Chapter> ChaptersOf(const FinaliseOptions& options) {
  return options.chapters ? options.chapters() : std::vector<mp4::Chapter>();
}

absl::Status PlanMap(const mp4::FileMap& map, uint64_t until,
                     const FinaliseOptions& options, mp4::FinalisePlan& plan,
                     FinaliseResult& result) {
  KINE_ASSIGN_OR_RETURN(
      plan, mp4::PlanFinalise(map, until, options.rule,
                              {ChaptersOf(options), options.bytes_max}));
  result.index_in_front = plan.index_in_front;
  result.bytes = plan.file_bytes;
  result.duration_ticks = plan.duration_ticks;
  result.compact_ticks = plan.compact_ticks;
  result.samples = plan.samples;
  result.chapters = plan.chapters;
  result.chapters_left_out = plan.chapters_left_out;
  result.width = map.header.width;
  result.height = map.header.height;
  for (const Step& step : plan.steps)
    if (step.kind == Step::Kind::kWrite) result.index_bytes += step.data.size();
  return absl::OkStatus();
}

// A file that somebody finished before. When its tables cannot be read here it
// is finished all the same.
void DescribeFinished(FdByteSource& source, uint64_t end, uint64_t until,
                      const FinaliseOptions& options, FinaliseResult& result) {
  result.was_finished = true;
  result.bytes = end;
  const absl::StatusOr<mp4::Movie> read =
      mp4::ReadMovie(source, limits::kFinaliseIndexBytesMax);
  if (!read.ok()) return;
  const mp4::Movie& movie = *read;
  result.duration_ticks = movie.duration_ticks;
  // As the fragments say, whose last sample may have lasted longer.
  const auto recorded = mp4::ReadRecordedTimes(source, movie, 0);
  if (recorded.ok()) result.fragments_ticks = recorded->duration();
  if (options.rule.on()) {
    result.compact_ticks = movie.duration_ticks;
    const auto shown = mp4::ReadRecordedTimes(source, movie, until);
    if (shown.ok()) result.duration_ticks = shown->duration();
  }
  result.samples = movie.index.counts().samples;
  result.chapters = movie.chapters;
  const uint64_t asked = ChaptersOf(options).size();
  result.chapters_left_out = asked - std::min(asked, movie.chapters);
  result.index_bytes = movie.moov_bytes;
  result.width = movie.width;
  result.height = movie.height;
  const auto first = mp4::SampleIndex::Reader(movie.index).Next();
  result.index_in_front = first && movie.moov_offset < first->offset;
}

size_t LastWrite(const std::vector<Step>& steps) {
  size_t last = steps.size();
  for (size_t i = 0; i < steps.size(); ++i)
    if (steps[i].kind == Step::Kind::kWrite) last = i;
  return last;
}

}  // namespace

Finaliser::Finaliser(FileIo& file_io, const Clock& clock, int fd,
                     FinaliseOptions options)
    : file_io_(file_io), clock_(clock), fd_(fd), options_(std::move(options)) {}

Finaliser::~Finaliser() = default;

absl::Status Finaliser::Plan(int fd, Job& job) {
  if (job.map.has_value())
    return PlanMap(*job.map, job.until, *job.options, job.plan, job.result);
  KINE_ASSIGN_OR_RETURN(FdByteSource source,
                        FdByteSource::Open(fd, job.trust.bytes_max));
  mp4::ScanOptions options;
  options.durable_bytes = job.trust.durable_bytes;
  options.each_synced = job.trust.each_synced;
  options.index_memory_max = limits::kFinaliseIndexBytesMax;
  KINE_ASSIGN_OR_RETURN(mp4::ScanResult scan, mp4::Scan(source, options));
  switch (scan.state) {
    case mp4::ScanResult::State::kNoFrame:
      return absl::NotFoundError("the file holds no whole fragment");
    case mp4::ScanResult::State::kFinished:
      job.complete = true;
      DescribeFinished(source, scan.file.end, job.until, *job.options,
                       job.result);
      return absl::OkStatus();
    case mp4::ScanResult::State::kGrowing:
      break;
  }
  job.result.fragments_ticks = scan.last_until;
  return PlanMap(scan.file, std::max(job.until, scan.last_until), *job.options,
                 job.plan, job.result);
}

void Finaliser::FinishFromIndex(mp4::FileMap map, uint64_t until,
                                FinaliseTrust trust, Done done) {
  KINE_CHECK(idle());
  job_ = std::make_unique<Job>();
  job_->map = std::move(map);
  job_->until = until;
  job_->trust = trust;
  job_->done = std::move(done);
  Begin();
}

void Finaliser::FinishFromFile(FinaliseTrust trust, uint64_t until, Done done) {
  KINE_CHECK(idle());
  job_ = std::make_unique<Job>();
  job_->until = until;
  job_->trust = trust;
  job_->done = std::move(done);
  Begin();
}

void Finaliser::Begin() {
  job_->start = clock_.Now();
  job_->options = &options_;
  file_io_.Run([fd = fd_, job = job_.get()] { return Plan(fd, *job); },
               [this](absl::Status status) {
                 if (!status.ok() || job_->complete)
                   return End(std::move(status));
                 job_->commit = LastWrite(job_->plan.steps);
                 RunStep(absl::OkStatus());
               });
}

void Finaliser::RunStep(absl::Status before) {
  if (!before.ok()) {
    if (!TryAgain(before)) End(std::move(before));
    return;
  }
  if (job_->next == job_->plan.steps.size()) return End(absl::OkStatus());
  Step& step = job_->plan.steps[job_->next++];
  auto next = [this](absl::Status status) { RunStep(std::move(status)); };
  switch (step.kind) {
    case Step::Kind::kTruncate:
      file_io_.Run(
          [fd = fd_, length = step.offset] { return Truncate(fd, length); },
          next);
      break;
    case Step::Kind::kWrite:
      file_io_.WriteAt(fd_, step.offset, std::move(step.data), next);
      break;
    case Step::Kind::kSync:
      file_io_.Sync(fd_, next);
      break;
  }
}

bool Finaliser::TryAgain(const absl::Status& status) {
  // job_->next is the step behind the one that failed.
  const size_t failed = job_->next - 1;
  if (!job_->map.has_value() || failed >= job_->commit) return false;
  FinaliseTrust trust = job_->trust;
  if (job_->plan.steps[failed].kind == Step::Kind::kSync)
    trust.bytes_max = std::min(trust.bytes_max, trust.durable_bytes);
  auto again = std::make_unique<Job>();
  again->trust = trust;
  again->result.survived = status;
  again->done = std::move(job_->done);
  job_ = std::move(again);
  Begin();
  return true;
}

void Finaliser::End(absl::Status status) {
  const std::unique_ptr<Job> job = std::move(job_);
  if (!status.ok()) {
    // What went wrong first says more than that nothing else was left.
    const absl::Status& first = job->result.survived;
    return job->done(first.ok() ? status : first);
  }
  job->result.took = clock_.Now() - job->start;
  job->done(job->result);
}

}  // namespace kine
