// ViewCache: heads of views of finished recordings, built by the recorder's
// one-shot mode and kept in sealed memory, the least recently used given up
// first.
//
// Control loop only. Callbacks come on the loop, never inside Get(), exactly
// once each, but when the cache is destroyed first: then they are dropped.
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "daemon/base/fd.h"
#include "daemon/control/one_shot.h"
#include "daemon/control/recording_run.h"
#include "ipc/routes.h"

namespace kine {

// `memory` holds the head and, behind it, the map of times (JSON). The head and
// `media_bytes` of video.mp4 from `media_offset` are the file of the view.
struct ViewHead {
  std::shared_ptr<const UniqueFd> memory;
  uint64_t head_bytes = 0;
  uint64_t times_bytes = 0;
  uint64_t media_offset = 0;
  uint64_t media_bytes = 0;
};

// What a one-shot mode of the recorder is told of a view of a finished
// recording.
std::vector<std::string> ViewArguments(const RecordingRecord& record,
                                       bool compact);

// The query `view`: compact or not; none: the file's own. INVALID_ARGUMENT.
absl::StatusOr<std::optional<bool>> ParseView(const Request& request);
QueryParameter ViewParameter();

class ViewCache {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<ViewHead>)>;

  // `context` outlives the cache.
  explicit ViewCache(const RunContext& context);
  ~ViewCache();
  ViewCache(const ViewCache&) = delete;
  ViewCache& operator=(const ViewCache&) = delete;

  // The compact or the realtime view of a recording that is ready or
  // interrupted. Whoever asks while it is being built shares the answer.
  // RESOURCE_EXHAUSTED when too many wait.
  void Get(const RecordingRecord& record, bool compact, Done done);

 private:
  struct Job;
  struct Kept {
    std::string key;
    ViewHead head;
  };

  void StartJobs();
  void Open(Job& job);
  void Run(Job& job);
  void OnBuilt(Job& job, absl::StatusOr<std::string> output);
  void Finish(Job& job, absl::StatusOr<ViewHead> head);
  void Keep(const std::string& key, const ViewHead& head);

  const RunContext& context_;
  const std::shared_ptr<ViewCache*> self_;
  std::list<Kept> kept_;  // The last used first.
  uint64_t kept_bytes_ = 0;
  std::vector<std::unique_ptr<Job>> jobs_;  // The first few run.
  size_t waiting_ = 0;                      // Callbacks in them.
};

}  // namespace kine
