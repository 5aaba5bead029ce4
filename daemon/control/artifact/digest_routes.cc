#include "daemon/control/artifact/digest_routes.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits.h"
#include "daemon/base/status.h"
#include "ipc/json_out.h"

namespace kine {
namespace {

std::string DigestReply(const std::string& id, uint64_t bytes,
                        const std::string& sha256) {
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  out.Field("id", id);
  out.Field("state", sha256.empty() ? "computing" : "ready");
  out.Field("bytes", bytes);
  out.FieldIfAny("sha256", sha256);
  out.End();
  return text;
}

}  // namespace

DigestRoutes::DigestRoutes(const RunContext& context, Catalogue& catalogue,
                           EventRing& events, ViewerOf viewer_of)
    : catalogue_(catalogue),
      viewer_of_(std::move(viewer_of)),
      digests_(context, events) {}

void DigestRoutes::AddTo(std::vector<Route>& routes) {
  Route route = RouteTo(
      *this, &DigestRoutes::Get, Method::kGet, "/v1/recordings/{id}/digest",
      "SHA-256 of the artifact, computed once, at low priority", "0.2.0");
  route.query = {
      {"timeout_ms", "how long to wait (300000)", {}, 0, limits::kWaitMaxMs}};
  route.answers = JsonAnswers(
      "Digest", {DigestReply("demo", 1, ""), DigestReply("demo", 1, "00")});
  route.problems = {409, 429};
  routes.push_back(std::move(route));
}

void DigestRoutes::Get(const Request& request, Reply reply) {
  const absl::StatusOr<Wait> wait = ParseWait(request, {});
  if (!wait.ok()) return reply.Fail(wait.status());
  const absl::StatusOr<const RecordingRecord*> found =
      catalogue_.Find(request.Param("id"), viewer_of_(request));
  if (!found.ok()) return reply.Fail(found.status());
  const RecordingRecord& record = **found;
  if (!IsFinished(record.state))
    return reply.Fail(absl::FailedPreconditionError(
        IsActive(record.state)
            ? absl::StrCat("the recording is ",
                           RecordingStateName(record.state),
                           "; stop it and wait for `ready`")
            : absl::StrCat("the recording failed (", record.reason,
                           "): there is no artifact")));
  digests_.Get(record, wait->timeout,
               [id = record.id, bytes = record.bytes, reply = std::move(reply)](
                   absl::StatusOr<std::string> sha256) mutable {
                 if (sha256.ok())
                   reply.Json(200, DigestReply(id, bytes, *sha256));
                 else
                   reply.Fail(WithContext("no digest", sha256.status()));
               });
}

}  // namespace kine
