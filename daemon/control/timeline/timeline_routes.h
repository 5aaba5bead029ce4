// TimelineRoutes: markers of a recording over HTTP, and its whole timeline.
//
// Control loop only.
#pragma once

#include <functional>
#include <vector>

#include "daemon/control/catalogue.h"
#include "ipc/routes.h"

namespace kine {

class TimelineRoutes {
 public:
  using ViewerOf = std::function<Viewer(const Request& request)>;

  // `catalogue` outlives this.
  TimelineRoutes(Catalogue& catalogue, ViewerOf viewer_of)
      : catalogue_(catalogue), viewer_of_(std::move(viewer_of)) {}

  // This outlives them.
  void AddTo(std::vector<Route>& routes);

 private:
  void SetMarker(const Request& request, Reply reply);
  void GetMarkers(const Request& request, Reply reply);
  void GetTimeline(const Request& request, Reply reply);
  void NoteActivity(const Request& request, Reply reply);
  void NoteActivityOfAll(const Request& request, Reply reply);

  Catalogue& catalogue_;
  const ViewerOf viewer_of_;
};

}  // namespace kine
