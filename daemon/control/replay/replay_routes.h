// ReplayRoutes: POST /v1/replays, the last seconds as a recording.
//
// Control loop only.
#pragma once

#include <vector>

#include "daemon/control/catalogue.h"
#include "daemon/control/replay/replay_ring.h"
#include "ipc/routes.h"

namespace kine {

class ReplayRoutes {
 public:
  // All references outlive this.
  ReplayRoutes(Catalogue& catalogue, const ReplayRing& ring)
      : catalogue_(catalogue), ring_(ring) {}

  // This outlives them.
  void AddTo(std::vector<Route>& routes);

 private:
  void Post(const Request& request, Reply reply);
  // When the recording has come to its end.
  void AnswerEnded(const std::string& id, const std::string& owner,
                   bool attached, Reply reply);

  Catalogue& catalogue_;
  const ReplayRing& ring_;
};

}  // namespace kine
