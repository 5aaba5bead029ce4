#include "daemon/control/artifact/picture_routes.h"

#include <limits>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/status.h"
#include "ipc/problem.h"

namespace kine {
namespace {

// `etag`: empty for what may be another picture the next time.
FrameExtractor::Done Answer(Reply reply, std::string media_type,
                            std::string etag) {
  return [reply = std::move(reply), media_type = std::move(media_type),
          etag = std::move(etag)](
             absl::StatusOr<FrameExtractor::Picture> picture) mutable {
    if (!picture.ok())
      return reply.Fail(
          WithContext("cannot make the picture", picture.status()));
    FileBody body;
    body.fd = picture->file;
    body.size = picture->bytes;
    Response response;
    if (etag.empty()) response.fields.emplace_back("Cache-Control", "no-store");
    body.etag = std::move(etag);
    response.content_type = std::move(media_type);
    response.body = std::move(body);
    reply.Send(std::move(response));
  };
}

}  // namespace

void PictureRoutes::AddTo(std::vector<Route>& routes) {
  using Member = void (PictureRoutes::*)(const Request&, Reply);
  const auto add = [&](absl::string_view path, absl::string_view help,
                       absl::string_view media_type, Member member) -> Route& {
    Route& route = routes.emplace_back(
        RouteTo(*this, member, Method::kGet, path, help, "0.2.0"));
    route.answers = {{200, media_type}, {206, media_type}, {304, ""}};
    route.problems = {409, 416, 429, 501};
    return route;
  };
  Route& frame =
      add("/v1/recordings/{id}/frame", "The picture shown at a time, as PNG",
          "image/png", &PictureRoutes::GetFrame);
  QueryParameter at;
  at.name = "at_media_us";
  at.help = "of the recorded time";
  at.max = std::numeric_limits<int64_t>::max();
  at.required = true;
  frame.query.push_back(at);
  add("/v1/recordings/{id}/thumbnail",
      "The picture in which most changed, as JPEG", "image/jpeg",
      &PictureRoutes::GetThumbnail);
}

const RecordingRecord* PictureRoutes::Pictured(const Request& request,
                                               Reply& reply) const {
  const absl::StatusOr<const RecordingRecord*> found =
      catalogue_.Find(request.Param("id"), viewer_of_(request));
  if (!found.ok()) {
    reply.Fail(found.status());
    return nullptr;
  }
  const RecordingRecord& record = **found;
  if (record.state != RecordingState::kFailed && record.first_frame_at)
    return &record;
  reply.Fail(absl::FailedPreconditionError(
      IsActive(record.state)
          ? absl::StrCat("the recording is ", RecordingStateName(record.state),
                         " and has no picture yet; wait for `first_frame`")
          : absl::StrCat("the recording failed (", record.reason,
                         "): there is no picture")));
  return nullptr;
}

void PictureRoutes::GetFrame(const Request& request, Reply reply) {
  int64_t at_us = 0;
  const auto text = request.Query("at_media_us");
  if (!text.has_value() || !absl::SimpleAtoi(*text, &at_us) || at_us < 0)
    return reply.Fail(FieldError(
        "at_media_us", "must be given: microseconds from the first picture"));
  const RecordingRecord* record = Pictured(request, reply);
  if (record == nullptr) return;
  const bool active = IsActive(record->state);
  const int64_t end_us =
      active ? record->counters.media_us : record->duration_us;
  if (at_us > end_us)
    return reply.Fail(
        WithProblem(FieldError("at_media_us",
                               absl::StrCat(active ? "the recording is at "
                                                   : "the recording ends at ",
                                            end_us, " us")),
                    404, "no_such_moment"));
  // Behind what is durable another picture may still come.
  const bool for_good = !active || at_us < record->counters.durable_until_us;
  extractor_.Frame(
      *record, at_us,
      Answer(
          std::move(reply), "image/png",
          for_good ? EntityTag(*record, absl::StrCat("frame-", at_us)) : ""));
}

void PictureRoutes::GetThumbnail(const Request& request, Reply reply) {
  const RecordingRecord* record = Pictured(request, reply);
  if (record == nullptr) return;
  extractor_.Thumbnail(
      *record,
      Answer(std::move(reply), "image/jpeg",
             IsActive(record->state) ? "" : EntityTag(*record, "thumbnail")));
}

}  // namespace kine
