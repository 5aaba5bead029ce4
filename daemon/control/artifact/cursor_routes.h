// CursorRoutes: what the pointer did in a recording, and what it looked like.
//
// Control loop only.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "daemon/control/artifact/cursor_forms.h"
#include "daemon/control/catalogue.h"
#include "ipc/routes.h"

namespace kine {

class CursorRoutes {
 public:
  using ViewerOf = std::function<Viewer(const Request& request)>;

  // All references outlive this.
  CursorRoutes(const RunContext& context, Catalogue& catalogue,
               ViewerOf viewer_of);

  // This outlives them.
  void AddTo(std::vector<Route>& routes);

 private:
  void GetCursor(const Request& request, Reply reply);
  void GetShape(const Request& request, Reply reply);
  // The first `bytes` bytes of a file of the recording, or all of it.
  void SendFile(const std::string& path, std::optional<uint64_t> bytes,
                Response response, FileBody body, Reply reply);

  const RunContext& context_;
  Catalogue& catalogue_;
  const ViewerOf viewer_of_;
  CursorForms forms_;
};

}  // namespace kine
