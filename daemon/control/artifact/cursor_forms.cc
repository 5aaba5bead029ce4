#include "daemon/control/artifact/cursor_forms.h"

#include <fcntl.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits/cursor.h"
#include "daemon/base/status.h"
#include "daemon/control/artifact/view_cache.h"
#include "daemon/storage/directory.h"
#include "ipc/json_in.h"

namespace kine {

struct CursorForms::Job {
  struct Files {
    UniqueFd directory;
    UniqueFd out;
  };

  std::string id;
  std::vector<std::string> argv;
  Done done;
  std::shared_ptr<Files> files = std::make_shared<Files>();
  std::unique_ptr<OneShot> run;
};

namespace {

UniqueFd Duplicate(const UniqueFd& fd) {
  return UniqueFd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
}

absl::StatusOr<uint64_t> ParseAnswer(
    const absl::StatusOr<std::string>& output) {
  KINE_RETURN_IF_ERROR(output.status());
  uint64_t bytes = 0;
  std::string error;
  KINE_RETURN_IF_ERROR(
      BindJson(*output, {.unknown = JsonUnknown::kIgnore}, [&](JsonObject& o) {
        o.Int("bytes", bytes);
        o.Text("error", error, {.max = 4096, .charset = JsonTextRule::kAny});
      }));
  if (!error.empty()) return absl::DataLossError(error);
  return bytes;
}

}  // namespace

CursorForms::CursorForms(const RunContext& context)
    : context_(context), self_(std::make_shared<CursorForms*>(this)) {}

CursorForms::~CursorForms() { *self_ = nullptr; }

void CursorForms::Get(const RecordingRecord& record, const std::string& form,
                      bool compact, Done done) {
  if (waiting_.size() >= limits::kCursorFormsWaiting) {
    context_.loop.Post([done = std::move(done)]() mutable {
      done(absl::ResourceExhaustedError(
          absl::StrCat("limit cursor_forms (", limits::kCursorFormsWaiting,
                       " waiting) is reached; try again")));
    });
    return;
  }
  auto job = std::make_unique<Job>();
  job->id = record.id;
  job->argv = {context_.recorder_path, absl::StrCat("--cursor=", form)};
  if (compact)
    for (std::string& argument : ViewArguments(record, /*compact=*/true))
      job->argv.push_back(std::move(argument));
  job->done = std::move(done);
  waiting_.push_back(std::move(job));
  StartNext();
}

void CursorForms::StartNext() {
  while (running_.size() < limits::kCursorFormsAtOnce && !waiting_.empty()) {
    running_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
    Open(*running_.back());
  }
}

void CursorForms::Open(Job& job) {
  context_.file_io.Run(
      [files = job.files, id = job.id,
       &state_dir = context_.state_dir]() -> absl::Status {
        KINE_ASSIGN_OR_RETURN(files->directory, state_dir.OpenRecording(id));
        KINE_ASSIGN_OR_RETURN(files->out, OpenNameless(files->directory.get()));
        return absl::OkStatus();
      },
      [self = self_, &job](absl::Status status) {
        if (*self == nullptr) return;
        if (!status.ok()) return (*self)->Finish(job, std::move(status));
        (*self)->Run(job);
      });
}

void CursorForms::Run(Job& job) {
  std::vector<UniqueFd> fds;
  fds.push_back(std::move(job.files->directory));
  fds.push_back(Duplicate(job.files->out));
  job.run = std::make_unique<OneShot>(
      context_.loop, context_.spawner, std::move(job.argv), std::move(fds),
      absl::Milliseconds(limits::kCursorFormMs),
      [this, &job](absl::StatusOr<std::string> output) {
        const absl::StatusOr<uint64_t> bytes = ParseAnswer(output);
        if (!bytes.ok()) return Finish(job, bytes.status());
        Finish(job,
               File{std::make_shared<const UniqueFd>(std::move(job.files->out)),
                    *bytes});
      });
}

void CursorForms::Finish(Job& job, absl::StatusOr<File> file) {
  const auto it = std::ranges::find_if(
      running_, [&](const auto& one) { return one.get() == &job; });
  // The one-shot, whose callback this may be, lives until the end of it.
  const std::unique_ptr<Job> own = std::move(*it);
  running_.erase(it);
  StartNext();
  own->done(std::move(file));
}

}  // namespace kine
