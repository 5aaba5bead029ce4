// ScreenshotRoutes: GET /v1/screenshot, what a source shows now. kinescoped
// touches no pixel: each is taken by the recorder that captures the source; or,
// where none does or it cannot, by one run of the recorder's --screenshot.
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
  explicit ScreenshotRoutes(const RunContext& context);
  ~ScreenshotRoutes();

  // This outlives them.
  void AddTo(std::vector<Route>& routes);

 private:
  // One request.
  struct Shot;
  using Place = std::list<std::unique_ptr<Shot>>::iterator;

  void Get(const Request& request, Reply reply);
  void AskRecorder(Place place);
  void RunOneShot(Place place);
  // Answers, and forgets it. `way`: by which it was taken.
  void End(Place place, const absl::StatusOr<uint64_t>& bytes, const char* way);

  const RunContext& context_;
  const std::shared_ptr<ScreenshotRoutes*> self_;
  std::list<std::unique_ptr<Shot>> running_;
};

// "test", "pipewire", ... or an object, as `source` in a request. The error is
// that of the field `name`.
absl::StatusOr<SourceRequest> ParseSourceText(absl::string_view name,
                                              absl::string_view text);

}  // namespace kine
