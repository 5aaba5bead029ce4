// ArtifactRoutes: a recording's video over HTTP: the finished file, its views
// with the map of their times, and what is durable of a growing one.
//
// Control loop only.
#pragma once

#include <functional>
#include <vector>

#include "daemon/control/artifact/view_cache.h"
#include "daemon/control/catalogue.h"
#include "ipc/routes.h"

namespace kine {

class ArtifactRoutes {
 public:
  using ViewerOf = std::function<Viewer(const Request& request)>;

  // All references outlive this.
  ArtifactRoutes(const RunContext& context, Catalogue& catalogue,
                 ViewerOf viewer_of);

  // This outlives them.
  void AddTo(std::vector<Route>& routes);

 private:
  void GetArtifact(const Request& request, Reply reply);
  void GetTimes(const Request& request, Reply reply);
  void SendPartial(const RecordingRecord& record, Reply reply);
  // `body` lacks the video's descriptor, also in `before`. The video must have
  // `size_min` bytes.
  void SendVideo(const RecordingRecord& record, FileBody body,
                 uint64_t size_min, Reply reply);

  const RunContext& context_;
  Catalogue& catalogue_;
  const ViewerOf viewer_of_;
  ViewCache views_;
};

}  // namespace kine
