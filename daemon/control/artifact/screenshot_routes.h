// ScreenshotRoutes: GET /v1/screenshot, what a source shows now. kinescoped
// touches no pixel: each is one run of the recorder's --screenshot.
//
// Control loop only.
#pragma once

#include <list>
#include <memory>
#include <string>
#include <vector>

#include "daemon/control/one_shot.h"
#include "daemon/control/recording_run.h"
#include "ipc/routes.h"

namespace kine {

class ScreenshotRoutes {
 public:
  // `context` outlives this.
  explicit ScreenshotRoutes(const RunContext& context) : context_(context) {}

  // This outlives them.
  void AddTo(std::vector<Route>& routes);

 private:
  void Get(const Request& request, Reply reply);

  const RunContext& context_;
  std::list<std::unique_ptr<OneShot>> running_;
};

// "test", "pipewire", ... or an object, as `source` in a request. The error is
// that of the field `name`.
absl::StatusOr<SourceRequest> ParseSourceText(absl::string_view name,
                                              absl::string_view text);

}  // namespace kine
