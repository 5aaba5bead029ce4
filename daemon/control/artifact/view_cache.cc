#include "daemon/control/artifact/view_cache.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits/views.h"
#include "daemon/base/status.h"
#include "ipc/link_messages.h"
#include "ipc/problem.h"

namespace kine {

struct ViewCache::Job {
  std::string key;
  std::string id;
  std::vector<std::string> argv;
  bool running = false;
  UniqueFd directory;
  std::shared_ptr<const UniqueFd> memory;
  std::unique_ptr<OneShot> one_shot;
  std::vector<Done> waiting;
};

namespace {

constexpr absl::string_view kCompact = "compact";
constexpr absl::string_view kRealtime = "realtime";

std::string KeyOf(const RecordingRecord& record, bool compact) {
  return absl::StrCat(compact ? "c" : "r", record.generation(), ".",
                      record.late_markers, ".", record.id);
}

UniqueFd Duplicate(const UniqueFd& fd) {
  return UniqueFd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
}

absl::StatusOr<ViewHead> ParseBuilt(const absl::StatusOr<std::string>& output,
                                    std::shared_ptr<const UniqueFd> memory) {
  KINE_RETURN_IF_ERROR(output.status());
  KINE_ASSIGN_OR_RETURN(const link::ToDaemon message,
                        link::ParseToDaemon(*output));
  const auto* built = std::get_if<link::ViewBuilt>(&message);
  if (built == nullptr)
    return absl::InternalError("the recorder said something else");
  if (!built->error.empty()) return absl::DataLossError(built->error);
  // What is sent out of it must not change any more.
  if (::fcntl(memory->get(), F_ADD_SEALS,
              F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0)
    return ErrnoStatus(errno, "sealing the view's head");
  ViewHead head;
  head.memory = std::move(memory);
  head.head_bytes = built->head_bytes;
  head.times_bytes = built->times_bytes;
  head.media_offset = built->media_offset;
  head.media_bytes = built->media_bytes;
  return head;
}

}  // namespace

absl::StatusOr<std::optional<bool>> ParseView(const Request& request) {
  const auto view = request.Query("view");
  if (!view.has_value()) return std::optional<bool>();
  if (*view == kCompact) return std::optional<bool>(true);
  if (*view == kRealtime) return std::optional<bool>(false);
  return FieldError("view", "must be realtime or compact");
}

QueryParameter ViewParameter() {
  return {
      "view", "realtime or compact (the file's own)", {kRealtime, kCompact}};
}

std::vector<std::string> ViewArguments(const RecordingRecord& record,
                                       bool compact) {
  const RecordingSettings::Idle& idle = record.request.settings.idle;
  std::vector<std::string> argv = {
      absl::StrCat("--view=", compact ? "compact" : "realtime"),
      absl::StrCat("--compact_after_ms=", idle.compact_after_ms.value_or(
                                              limits::kCompactAfterDefaultMs)),
      absl::StrCat("--compact_speed=", idle.compact_speed),
  };
  if (record.compact())
    argv.push_back(absl::StrCat("--recorded_us=", record.duration_us));
  return argv;
}

ViewCache::ViewCache(const RunContext& context)
    : context_(context), self_(std::make_shared<ViewCache*>(this)) {}

ViewCache::~ViewCache() { *self_ = nullptr; }

void ViewCache::Get(const RecordingRecord& record, bool compact, Done done) {
  const std::string key = KeyOf(record, compact);
  const auto kept = std::ranges::find(kept_, key, &Kept::key);
  if (kept != kept_.end()) {
    kept_.splice(kept_.begin(), kept_, kept);
    context_.loop.Post([done = std::move(done), head = kept->head]() mutable {
      done(std::move(head));
    });
    return;
  }
  if (waiting_ >= limits::kViewsWaiting) {
    context_.loop.Post([done = std::move(done)]() mutable {
      done(absl::ResourceExhaustedError(
          absl::StrCat("views: ", limits::kViewsWaiting,
                       " requests wait for views already; try again")));
    });
    return;
  }
  ++waiting_;
  auto job =
      std::ranges::find_if(jobs_, [&](const auto& j) { return j->key == key; });
  if (job == jobs_.end()) {
    jobs_.push_back(std::make_unique<Job>());
    job = jobs_.end() - 1;
    (*job)->key = key;
    (*job)->id = record.id;
    (*job)->argv = ViewArguments(record, compact);
    (*job)->argv.insert((*job)->argv.begin(), context_.recorder_path);
  }
  (*job)->waiting.push_back(std::move(done));
  StartJobs();
}

void ViewCache::StartJobs() {
  for (size_t i = 0; i < jobs_.size() && i < size_t{limits::kViewsAtOnce}; ++i)
    if (!std::exchange(jobs_[i]->running, true)) Open(*jobs_[i]);
}

void ViewCache::Open(Job& job) {
  auto directory =
      std::make_shared<absl::StatusOr<UniqueFd>>(absl::InternalError("unset"));
  context_.file_io.Run(
      [directory, id = job.id, &state_dir = context_.state_dir] {
        *directory = state_dir.OpenRecording(id);
        return directory->status();
      },
      [self = self_, &job, directory](absl::Status status) {
        if (*self == nullptr) return;
        if (!status.ok()) return (*self)->Finish(job, std::move(status));
        job.directory = *std::move(*directory);
        (*self)->Run(job);
      });
}

void ViewCache::Run(Job& job) {
  job.memory = std::make_shared<const UniqueFd>(
      UniqueFd(::memfd_create("kine-view", MFD_CLOEXEC | MFD_ALLOW_SEALING)));
  if (!job.memory->valid())
    return Finish(job, ErrnoStatus(errno, "memfd_create"));
  std::vector<UniqueFd> fds;
  fds.push_back(std::move(job.directory));
  fds.push_back(Duplicate(*job.memory));
  job.one_shot = std::make_unique<OneShot>(
      context_.loop, context_.spawner, std::move(job.argv), std::move(fds),
      absl::Milliseconds(limits::kViewMs),
      [this, &job](absl::StatusOr<std::string> output) {
        OnBuilt(job, std::move(output));
      });
}

void ViewCache::OnBuilt(Job& job, absl::StatusOr<std::string> output) {
  Finish(job, ParseBuilt(output, std::move(job.memory)));
}

void ViewCache::Finish(Job& job, absl::StatusOr<ViewHead> head) {
  const auto it = std::ranges::find_if(
      jobs_, [&](const auto& j) { return j.get() == &job; });
  // The one-shot, whose callback this is, lives until the end of it.
  const std::unique_ptr<Job> own = std::move(*it);
  jobs_.erase(it);
  waiting_ -= own->waiting.size();
  if (head.ok()) Keep(own->key, *head);
  StartJobs();
  for (Done& done : own->waiting) done(head);
}

void ViewCache::Keep(const std::string& key, const ViewHead& head) {
  kept_.push_front({key, head});
  kept_bytes_ += head.head_bytes + head.times_bytes;
  while (kept_.size() > 1 && (kept_bytes_ > limits::kViewsBytesMax ||
                              kept_.size() > limits::kViewsKept)) {
    kept_bytes_ -= kept_.back().head.head_bytes + kept_.back().head.times_bytes;
    kept_.pop_back();
  }
}

}  // namespace kine
