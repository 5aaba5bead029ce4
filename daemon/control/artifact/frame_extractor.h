// FrameExtractor: single pictures of recordings, of what is in their files so
// far. kinescoped decodes nothing: each is one run of kinescope-frames, in its
// sandbox, with its own limits of time and memory, that writes into a memfd.
//
// Control loop only. Destroying it kills what runs and drops the callbacks.
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "daemon/control/one_shot.h"
#include "daemon/control/recording_run.h"

namespace kine {

class FrameExtractor {
 public:
  struct Picture {
    std::shared_ptr<const UniqueFd> file;  // From its beginning.
    uint64_t bytes = 0;
    int64_t time_us = 0;  // When it begins to be shown.
  };
  using Done = absl::AnyInvocable<void(absl::StatusOr<Picture>)>;

  // `context` outlives this.
  explicit FrameExtractor(const RunContext& context);
  ~FrameExtractor();

  // The PNG of what was shown at `at_us` of the recorded time; of one that is
  // not finished, of what is in its file by then. UNIMPLEMENTED without the
  // program; RESOURCE_EXHAUSTED when too many wait; FAILED_PRECONDITION when
  // nothing is in the file yet; else what went wrong, in the program's words.
  void Frame(const RecordingRecord& record, int64_t at_us, Done done);
  // The JPEG of the picture with most damage. Of a finished recording it is
  // made once, then kept beside the video.
  void Thumbnail(const RecordingRecord& record, Done done);

 private:
  struct Job;

  void Add(const RecordingRecord& record, std::vector<std::string> arguments,
           Done done);
  void StartNext();
  void Run(Job& job);
  void End(Job& job, absl::StatusOr<Picture> picture);
  void Keep(const std::string& id, const Picture& picture);

  const RunContext& context_;
  // Why there is no kinescope-frames, or its path.
  const absl::StatusOr<std::string> program_;
  const std::shared_ptr<FrameExtractor*> self_;
  std::deque<std::unique_ptr<Job>> waiting_;
  std::list<std::unique_ptr<Job>> running_;
};

}  // namespace kine
