// LiveRoutes: GET /v1/recordings/{id}/live.
//
// Control loop only.
#pragma once

#include <functional>
#include <vector>

#include "daemon/control/catalogue.h"
#include "ipc/routes.h"

namespace kine {

class LiveRoutes {
 public:
  using ViewerOf = std::function<Viewer(const Request& request)>;

  // All references outlive this.
  LiveRoutes(const RunContext& context, Catalogue& catalogue,
             ViewerOf viewer_of);

  // This outlives them.
  void AddTo(std::vector<Route>& routes);

 private:
  void GetLive(const Request& request, Reply reply);
  void OpenVideo(std::string id, Viewer viewer, uint64_t pad, Reply reply);

  const RunContext& context_;
  Catalogue& catalogue_;
  const ViewerOf viewer_of_;
};

}  // namespace kine
