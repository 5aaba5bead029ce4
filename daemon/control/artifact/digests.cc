#include "daemon/control/artifact/digests.h"

#include <fcntl.h>

#include <algorithm>
#include <list>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits/digests.h"
#include "daemon/base/log.h"
#include "daemon/base/record_text.h"
#include "daemon/base/status.h"
#include "daemon/storage/atomic_file.h"
#include "daemon/storage/blocking_io.h"
#include "daemon/storage/directory.h"
#include "ipc/json_in.h"
#include "ipc/json_out.h"

namespace kine {

struct Digests::Waiter {
  Done done;
  absl::Duration timeout;
  LoopHandle timer;  // From when it is known that there is none yet.
};

struct Digests::Job {
  std::string id;
  std::string owner;
  // What digest.json must be of.
  int64_t generation = 0;
  uint64_t bytes = 0;
  bool looked = false;  // There is no digest yet.
  UniqueFd video;       // From then on until its run.
  std::unique_ptr<OneShot> run;
  std::list<Waiter> waiting;
};

namespace {

constexpr char kDigestName[] = "digest.json";
constexpr JsonTextRule kDigits{64, 64, JsonTextRule::kId};

std::string KeptText(int64_t generation, uint64_t bytes,
                     const std::string& sha256) {
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  out.Field("generation", generation);
  out.Field("bytes", bytes);
  out.Field("sha256", sha256);
  out.End();
  text.push_back('\n');
  return text;
}

// NOT_FOUND for none, for one of another file and for a damaged one: it is
// computed again.
absl::StatusOr<std::string> ReadKept(int recordings, const std::string& id,
                                     int64_t generation, uint64_t bytes) {
  KINE_ASSIGN_OR_RETURN(
      const std::string text,
      ReadSmallFile(recordings, absl::StrCat(id, "/", kDigestName),
                    limits::kDigestFileBytesMax));
  int64_t kept_generation = 0;
  uint64_t kept_bytes = 0;
  std::string sha256;
  const absl::Status bound = BindJson(text, {}, [&](JsonObject& o) {
    o.Int("generation", kept_generation, JsonNeed::kRequired);
    o.Int("bytes", kept_bytes, JsonNeed::kRequired);
    o.Text("sha256", sha256, kDigits, JsonNeed::kRequired);
  });
  if (!bound.ok() || kept_generation != generation || kept_bytes != bytes)
    return absl::NotFoundError("no digest of this file");
  return sha256;
}

absl::Status Keep(int recordings, const std::string& id,
                  const std::string& text) {
  KINE_ASSIGN_OR_RETURN(
      const UniqueFd directory,
      OpenBeneath(recordings, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return WriteFileAtomically(directory.get(), kDigestName,
                             std::as_bytes(std::span(text)),
                             IfExists::kReplace);
}

absl::StatusOr<std::string> ParseAnswer(
    const absl::StatusOr<std::string>& output) {
  KINE_RETURN_IF_ERROR(output.status());
  std::string sha256;
  std::string error;
  KINE_RETURN_IF_ERROR(
      BindJson(*output, {.unknown = JsonUnknown::kIgnore}, [&](JsonObject& o) {
        o.Text("sha256", sha256, kDigits);
        o.Text("error", error, {.max = 4096, .charset = JsonTextRule::kAny});
      }));
  if (sha256.empty()) return absl::DataLossError(error);
  return sha256;
}

}  // namespace

Digests::Digests(const RunContext& context, EventRing& events)
    : context_(context),
      events_(events),
      self_(std::make_shared<Digests*>(this)) {}

Digests::~Digests() { *self_ = nullptr; }

void Digests::Get(const RecordingRecord& record, absl::Duration timeout,
                  Done done) {
  if (stopped_) return done(absl::UnavailableError("the daemon is stopping"));
  if (waiting_ >= limits::kDigestsWaiting)
    return done(absl::ResourceExhaustedError(
        absl::StrCat("limit digests (", limits::kDigestsWaiting,
                     " requests waiting) is reached; try again")));
  ++waiting_;
  for (const std::unique_ptr<Job>& job : jobs_)
    if (job->id == record.id && job->generation == record.generation()) {
      job->waiting.push_back({std::move(done), timeout, {}});
      if (job->looked) Arm(*job, job->waiting.back());
      return;
    }
  auto job = std::make_unique<Job>();
  job->id = record.id;
  job->owner = record.owner;
  job->generation = record.generation();
  job->bytes = record.bytes;
  job->waiting.push_back({std::move(done), timeout, {}});
  jobs_.push_back(std::move(job));
  Look(*jobs_.back());
}

void Digests::Arm(Job& job, Waiter& waiter) {
  waiter.timer =
      LoopHandle(context_.loop,
                 context_.loop.PostAfter(waiter.timeout, [this, &job, &waiter] {
                   Done done = std::move(waiter.done);
                   --waiting_;
                   // This very task is its timer's.
                   job.waiting.remove_if([&waiter](const Waiter& one) {
                     return &one == &waiter;
                   });
                   done(std::string());  // Running out is no error.
                 }));
}

void Digests::Stop() {
  stopped_ = true;
  while (!jobs_.empty())
    End(*jobs_.front(), absl::UnavailableError("the daemon is stopping"));
}

void Digests::Look(Job& job) {
  struct Found {
    absl::StatusOr<std::string> sha256 = absl::NotFoundError("");
    UniqueFd video;
  };
  auto found = std::make_shared<Found>();
  context_.file_io.Run(
      [found, id = job.id, generation = job.generation, bytes = job.bytes,
       recordings = context_.state_dir.recordings_fd()]() -> absl::Status {
        found->sha256 = ReadKept(recordings, id, generation, bytes);
        if (found->sha256.ok()) return absl::OkStatus();
        KINE_ASSIGN_OR_RETURN(
            found->video,
            OpenBeneath(recordings, absl::StrCat(id, "/video.mp4"),
                        O_RDONLY | O_CLOEXEC));
        return absl::OkStatus();
      },
      [this, self = self_, &job, found](absl::Status status) {
        if (*self == nullptr || stopped_) return;
        if (!status.ok()) return End(job, status);
        if (found->sha256.ok()) return End(job, found->sha256);
        job.video = std::move(found->video);
        job.looked = true;
        for (Waiter& waiter : job.waiting) Arm(job, waiter);
        StartNext();
      });
}

// One at a time: there is no hurry.
void Digests::StartNext() {
  const auto runs = [](const auto& job) { return job->run != nullptr; };
  const auto may = [](const auto& job) { return job->video.valid(); };
  if (stopped_ || std::ranges::any_of(jobs_, runs)) return;
  const auto next = std::ranges::find_if(jobs_, may);
  if (next != jobs_.end()) Run(**next);
}

void Digests::Run(Job& job) {
  std::vector<UniqueFd> fds;
  fds.push_back(std::move(job.video));
  job.run = std::make_unique<OneShot>(
      context_.loop, context_.spawner,
      std::vector<std::string>{context_.recorder_path, "--digest",
                               absl::StrCat("--bytes=", job.bytes)},
      std::move(fds),
      absl::Milliseconds(
          limits::kDigestMs +
          static_cast<int64_t>(job.bytes / limits::kDigestBytesPerMs)),
      [this, &job](absl::StatusOr<std::string> output) {
        OnComputed(job, ParseAnswer(output));
      });
}

void Digests::OnComputed(Job& job, absl::StatusOr<std::string> sha256) {
  if (!sha256.ok()) return End(job, sha256);
  context_.file_io.Run(
      [id = job.id, text = KeptText(job.generation, job.bytes, *sha256),
       recordings = context_.state_dir.recordings_fd()] {
        return Keep(recordings, id, text);
      },
      [this, self = self_, &job, sha256](absl::Status status) {
        if (*self == nullptr || stopped_) return;
        if (absl::IsNotFound(status)) return End(job, status);  // Deleted.
        if (status.ok())
          Tell(job, *sha256);
        else
          LogWarning(absl::StrCat(
              "recording ", Quoted(job.id),
              ": the digest was not kept, ignoring: ", status.message()));
        End(job, sha256);
      });
}

void Digests::Tell(const Job& job, const std::string& sha256) {
  std::string data;
  JsonOut out(data);
  out.BeginObject();
  out.Field("id", job.id);
  out.Field("file", kDigestName);
  out.Field("sha256", sha256);
  out.End();
  events_.Publish("recording.sidefile_ready", data, job.owner);
}

void Digests::End(Job& job, const absl::StatusOr<std::string>& sha256) {
  const auto at = std::ranges::find_if(
      jobs_, [&job](const auto& one) { return one.get() == &job; });
  // Its run may be what calls this: it goes when this is over.
  const std::unique_ptr<Job> ended = std::move(*at);
  jobs_.erase(at);
  waiting_ -= ended->waiting.size();
  StartNext();
  for (Waiter& waiter : ended->waiting) waiter.done(sha256);
}

}  // namespace kine
