#include "daemon/control/replay/replay_routes.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits.h"
#include "daemon/base/log.h"
#include "ipc/json_in.h"
#include "ipc/problem.h"

namespace kine {

void ReplayRoutes::AddTo(std::vector<Route>& routes) {
  Route route =
      RouteTo(*this, &ReplayRoutes::Post, Method::kPost, "/v1/replays",
              "Make a recording of the last seconds; answers when it is ready",
              "0.2.0");
  route.body = Route::Body::kJson;
  route.fields = [](JsonObject& o) {
    ReplayRequest request;
    BindReplayRequest(o, request);
  };
  route.example = R"({"id":"what-happened","seconds":30})";
  route.answers = JsonAnswers("Recording", StateReplySamples(), {200, 201});
  routes.push_back(std::move(route));
}

void ReplayRoutes::Post(const Request& request, Reply reply) {
  absl::StatusOr<ReplayRequest> parsed = ParseReplayRequest(request.body);
  if (!parsed.ok()) return reply.Fail(parsed.status());
  if (absl::Status taken =
          TakeIdempotencyKey(request, "recording's", parsed->id);
      !taken.ok())
    return reply.Fail(taken);
  catalogue_.StartReplay(
      *std::move(parsed), request.owner, ring_,
      [this, owner = request.owner, reply = std::move(reply)](
          absl::StatusOr<const RecordingRecord*> record,
          bool attached) mutable {
        if (!record.ok()) return reply.Fail(record.status());
        AnswerEnded((*record)->id, owner, attached, std::move(reply));
      });
}

void ReplayRoutes::AnswerEnded(const std::string& id, const std::string& owner,
                               bool attached, Reply reply) {
  catalogue_.Wait(
      id, {owner}, Catalogue::WaitFor::kReady,
      absl::Milliseconds(limits::kWaitMaxMs),
      [attached, reply = std::move(reply)](
          absl::StatusOr<const RecordingRecord*> record) mutable {
        if (!record.ok()) return reply.Fail(record.status());
        const RecordingRecord& r = **record;
        if (r.state == RecordingState::kFailed && !attached)
          return reply.Fail(WithProblem(
              absl::UnavailableError(absl::StrCat(
                  r.reason, ": ",
                  r.message.empty() ? "the replay was not saved" : r.message)),
              503, "start_failed"));
        reply.Json(attached ? 200 : 201, StateReplyOf(r, attached));
      });
}

}  // namespace kine
