// POST /v1/recordings/{id}/pause and …/resume.
#include <utility>

#include "daemon/control/service.h"

namespace kine {

void Service::AddPauseRoutes(std::vector<Route>& routes) {
  const auto add = [&](absl::string_view path, absl::string_view help,
                       bool paused) {
    Route route;
    route.method = Method::kPost;
    route.path = path;
    route.help = help;
    route.since = "0.1.0";
    route.handler = [this, paused](Request request, Reply reply) {
      catalogue_.SetPaused(
          request.Param("id"), ViewerOf(request), paused,
          [reply = std::move(reply)](
              absl::StatusOr<const RecordingRecord*> record) mutable {
            if (record.ok())
              reply.Json(200, StateReplyOf(**record, std::nullopt));
            else
              reply.Fail(record.status());
          });
    };
    routes.push_back(std::move(route));
  };
  add("/v1/recordings/{id}/pause", "Pause a recording; repeatable", true);
  add("/v1/recordings/{id}/resume", "Resume a paused recording; repeatable",
      false);
}

}  // namespace kine
