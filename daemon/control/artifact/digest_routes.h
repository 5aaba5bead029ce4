// DigestRoutes: GET /v1/recordings/{id}/digest, what the artifact's bytes add
// up to.
//
// Control loop only.
#pragma once

#include <functional>
#include <vector>

#include "daemon/control/artifact/digests.h"
#include "daemon/control/catalogue.h"
#include "ipc/routes.h"

namespace kine {

class DigestRoutes {
 public:
  using ViewerOf = std::function<Viewer(const Request& request)>;

  // All references outlive this.
  DigestRoutes(const RunContext& context, Catalogue& catalogue,
               EventRing& events, ViewerOf viewer_of);

  // This outlives them.
  void AddTo(std::vector<Route>& routes);
  // Who waits is told that the daemon ends.
  void Stop() { digests_.Stop(); }

 private:
  void Get(const Request& request, Reply reply);

  Catalogue& catalogue_;
  const ViewerOf viewer_of_;
  Digests digests_;
};

}  // namespace kine
