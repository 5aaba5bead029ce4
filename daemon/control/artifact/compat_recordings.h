// CompatRecordings: /api/v0/desktop/recording, the mount for coder's clients.
// Its words are theirs; behind it are ordinary recordings, which run as many at
// once as any, end in a valid file at their limit, and are kept.
//
// Control loop only.
#pragma once

#include <string>
#include <vector>

#include "daemon/control/artifact/frame_extractor.h"
#include "daemon/control/catalogue.h"
#include "ipc/recording_request.h"
#include "ipc/routes.h"

namespace kine {

class CompatRecordings {
 public:
  // The references outlive this. `source` is what is recorded; `recordings_max`
  // of one owner's at once, for the message.
  CompatRecordings(const RunContext& context, Catalogue& catalogue,
                   FrameExtractor& extractor, SourceRequest source,
                   int recordings_max);

  // This outlives them.
  void AddTo(std::vector<Route>& routes);

 private:
  void Start(const Request& request, Reply reply);
  void StartNew(const std::string& id, const std::string& owner, Reply reply);
  void AnswerStarted(const std::string& id, Reply reply);
  void FailStart(Reply& reply, const absl::Status& error) const;
  void Stop(const Request& request, Reply reply);
  void SendArtifact(const RecordingRecord& record, Reply reply);

  const RunContext& context_;
  Catalogue& catalogue_;
  FrameExtractor& extractor_;
  const SourceRequest source_;
  const int recordings_max_;
};

}  // namespace kine
