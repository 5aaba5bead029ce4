// PictureRoutes: single pictures of a recording over HTTP.
//
// Control loop only.
#pragma once

#include <functional>
#include <vector>

#include "daemon/control/artifact/frame_extractor.h"
#include "daemon/control/catalogue.h"
#include "ipc/routes.h"

namespace kine {

class PictureRoutes {
 public:
  using ViewerOf = std::function<Viewer(const Request& request)>;

  // All references outlive this.
  PictureRoutes(Catalogue& catalogue, FrameExtractor& extractor,
                ViewerOf viewer_of)
      : catalogue_(catalogue),
        extractor_(extractor),
        viewer_of_(std::move(viewer_of)) {}

  // This outlives them.
  void AddTo(std::vector<Route>& routes);

 private:
  void GetFrame(const Request& request, Reply reply);
  void GetThumbnail(const Request& request, Reply reply);
  // One that has pictures; nothing when `reply` was answered.
  const RecordingRecord* Pictured(const Request& request, Reply& reply) const;

  Catalogue& catalogue_;
  FrameExtractor& extractor_;
  const ViewerOf viewer_of_;
};

}  // namespace kine
