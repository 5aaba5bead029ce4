// TraceRoutes: what the pipeline of a recording did last, for trace viewers: of
// one that runs from the memory that its recorder writes, of one that has ended
// from the disk. No recorder is asked, so that one that hangs has a trace too.
//
// Control loop only; read and made on the file worker.
#pragma once

#include <functional>
#include <vector>

#include "daemon/control/catalogue.h"
#include "ipc/routes.h"

namespace kine {

class TraceRoutes {
 public:
  using ViewerOf = std::function<Viewer(const Request& request)>;

  // All references outlive this.
  TraceRoutes(const RunContext& context, Catalogue& catalogue,
              ViewerOf viewer_of);
  ~TraceRoutes();

  // This outlives them.
  void AddTo(std::vector<Route>& routes);

 private:
  void Get(const Request& request, Reply reply);

  const RunContext& context_;
  Catalogue& catalogue_;
  const ViewerOf viewer_of_;
  const std::shared_ptr<TraceRoutes*> self_;
  size_t making_ = 0;
};

}  // namespace kine
