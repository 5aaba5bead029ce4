// What a recording is set to: POST /v1/recordings/{id}/pause, …/resume and
// …/pin, DELETE …/pin.
#include <utility>

#include "daemon/control/service.h"

namespace kine {

void Service::AddPauseRoutes(std::vector<Route>& routes) {
  using Set = void (Catalogue::*)(absl::string_view, const Viewer&, bool,
                                  Catalogue::Answer);
  const auto add = [&](Method method, absl::string_view path,
                       absl::string_view help, Set set, bool value) {
    Route route;
    route.method = method;
    route.path = path;
    route.help = help;
    route.since = "0.1.0";
    route.answers = JsonAnswers("Recording", StateReplySamples());
    route.handler = [this, set, value](Request request, Reply reply) {
      (catalogue_.*set)(
          request.Param("id"), ViewerOf(request), value,
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
  add(Method::kPost, "/v1/recordings/{id}/pause",
      "Pause a recording; repeatable", &Catalogue::SetPaused, true);
  add(Method::kPost, "/v1/recordings/{id}/resume",
      "Resume a paused recording; repeatable", &Catalogue::SetPaused, false);
  constexpr absl::string_view kPin = "/v1/recordings/{id}/pin";
  add(Method::kPost, kPin, "Keep it whatever retention says; repeatable",
      &Catalogue::SetPinned, true);
  add(Method::kDelete, kPin, "Leave it to retention again; repeatable",
      &Catalogue::SetPinned, false);
}

}  // namespace kine
