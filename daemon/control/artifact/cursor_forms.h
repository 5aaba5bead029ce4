// CursorForms: a recording's cursor file in another form (Cap's) or at a view's
// times, made by the recorder's one-shot mode into a file without a name, which
// is gone when its last reader is.
//
// Control loop only. Callbacks come on the loop, never inside Get(), exactly
// once each, but when this is destroyed first: then they are dropped.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "daemon/base/fd.h"
#include "daemon/control/one_shot.h"
#include "daemon/control/recording_run.h"

namespace kine {

class CursorForms {
 public:
  struct File {
    std::shared_ptr<const UniqueFd> fd;
    uint64_t bytes = 0;
  };
  using Done = absl::AnyInvocable<void(absl::StatusOr<File>)>;

  // `context` outlives this.
  explicit CursorForms(const RunContext& context);
  ~CursorForms();
  CursorForms(const CursorForms&) = delete;
  CursorForms& operator=(const CursorForms&) = delete;

  // `form` is the mode's: "ndjson", "cap". At the times of the compact view
  // where `compact` (of a finished recording only).
  // RESOURCE_EXHAUSTED when too many wait.
  void Get(const RecordingRecord& record, const std::string& form, bool compact,
           Done done);

 private:
  struct Job;

  void StartNext();
  void Open(Job& job);
  void Run(Job& job);
  void Finish(Job& job, absl::StatusOr<File> file);

  const RunContext& context_;
  const std::shared_ptr<CursorForms*> self_;
  std::deque<std::unique_ptr<Job>> waiting_;
  std::vector<std::unique_ptr<Job>> running_;
};

}  // namespace kine
