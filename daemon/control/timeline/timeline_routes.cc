#include "daemon/control/timeline/timeline_routes.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits/timeline.h"
#include "daemon/control/list_page.h"
#include "daemon/timeline/timeline_text.h"
#include "ipc/problem.h"

namespace kine {
namespace {

std::string NotedReply(int recordings) {
  return absl::StrCat("{\"recordings\":", recordings, "}");
}

// In the order in which they were set: what comes later is on a later page.
std::string MarkersJson(const Timeline& timeline, ListPage page) {
  for (const Marker& marker : timeline.markers())
    if (page.Takes({0, -marker.number, ""})) page.Add(MarkerJson(marker));
  return page.Finish();
}

void AnswerNoted(int recordings, Reply reply) {
  reply.Json(200, NotedReply(recordings));
}

}  // namespace

void TimelineRoutes::AddTo(std::vector<Route>& routes) {
  using Member = void (TimelineRoutes::*)(const Request&, Reply);
  const auto add = [&](Method method, absl::string_view path,
                       absl::string_view help, Member member) -> Route& {
    return routes.emplace_back(
        RouteTo(*this, member, method, path, help, "0.1.0"));
  };
  Route& mark = add(Method::kPost, "/v1/recordings/{id}/markers",
                    "Mark a moment; durable when it is answered",
                    &TimelineRoutes::SetMarker);
  mark.body = Route::Body::kJson;
  mark.fields = [](JsonObject& o) {
    MarkerRequest marker;
    BindMarkerRequest(o, marker);
  };
  mark.example = R"({"label":"clicked Save","kind":"action"})";
  mark.answers = JsonAnswers("Marker", MarkerSamples(), {200, 201});
  Route& markers =
      add(Method::kGet, "/v1/recordings/{id}/markers",
          "The markers, or markers and commands as text for players",
          &TimelineRoutes::GetMarkers);
  markers.query = {{"format",
                    "json (default), vtt or ffmetadata",
                    {"json", "vtt", "ffmetadata"}},
                   {"limit",
                    "of json: at most so many (all)",
                    {},
                    1,
                    int64_t{limits::kMarkersMax}},
                   {"cursor", "of json: `next` of the page before"}};
  markers.answers = JsonAnswers("MarkerList", ListSamples(MarkerItemSamples()));
  markers.answers.push_back({200, "text/vtt"});
  markers.answers.push_back({200, "text/plain"});
  add(Method::kGet, "/v1/recordings/{id}/timeline",
      "Media and wall time, pauses, gaps, markers and commands",
      &TimelineRoutes::GetTimeline)
      .answers = JsonAnswers("Timeline", TimelineSamples());
  const std::vector<RouteAnswer> noted =
      JsonAnswers("Activity", {NotedReply(1)});
  add(Method::kPost, "/v1/recordings/{id}/activity",
      "The agent did something: the idle stop waits",
      &TimelineRoutes::NoteActivity)
      .answers = noted;
  add(Method::kPost, "/v1/activity",
      "The same for all recordings of this owner that run",
      &TimelineRoutes::NoteActivityOfAll)
      .answers = noted;
}

void TimelineRoutes::NoteActivity(const Request& request, Reply reply) {
  const absl::StatusOr<int> noted =
      catalogue_.NoteActivity(request.Param("id"), viewer_of_(request));
  if (!noted.ok()) return reply.Fail(noted.status());
  AnswerNoted(*noted, std::move(reply));
}

void TimelineRoutes::NoteActivityOfAll(const Request& request, Reply reply) {
  AnswerNoted(catalogue_.NoteActivity(viewer_of_(request)), std::move(reply));
}

void TimelineRoutes::SetMarker(const Request& request, Reply reply) {
  absl::StatusOr<MarkerRequest> marker = ParseMarkerRequest(request.body);
  if (!marker.ok()) return reply.Fail(marker.status());
  std::string key;
  const absl::Status taken = TakeIdempotencyKey(request, "marker's", key);
  if (!taken.ok()) return reply.Fail(taken);
  catalogue_.AddMarker(
      request.Param("id"), viewer_of_(request), *std::move(marker),
      std::move(key),
      [reply = std::move(reply)](
          absl::StatusOr<Timeline::Accepted> accepted) mutable {
        if (!accepted.ok()) return reply.Fail(accepted.status());
        reply.Json(accepted->attached ? 200 : 201,
                   MarkerJson(accepted->marker, accepted->attached));
      });
}

void TimelineRoutes::GetMarkers(const Request& request, Reply reply) {
  const std::string format(request.Query("format").value_or("json"));
  if (format != "json" && format != "vtt" && format != "ffmetadata")
    return reply.Fail(FieldError("format", "must be json, vtt or ffmetadata"));
  absl::StatusOr<ListPage> page =
      ListPage::Of(request, static_cast<int>(limits::kMarkersMax));
  if (!page.ok()) return reply.Fail(page.status());
  catalogue_.ReadTimeline(
      request.Param("id"), viewer_of_(request),
      [reply = std::move(reply), format, page = *std::move(page)](
          absl::StatusOr<const RecordingRecord*> record,
          const Timeline& timeline, int64_t end_us) mutable {
        if (!record.ok()) return reply.Fail(record.status());
        if (format == "json")
          return reply.Json(200, MarkersJson(timeline, std::move(page)));
        Response response;
        if (format == "vtt") {
          response.content_type = "text/vtt; charset=utf-8";
          response.body = MarkersVtt(timeline, end_us);
        } else {
          response.content_type = "text/plain; charset=utf-8";
          response.body = MarkersFfmetadata(timeline, end_us);
        }
        reply.Send(std::move(response));
      });
}

void TimelineRoutes::GetTimeline(const Request& request, Reply reply) {
  catalogue_.ReadTimeline(
      request.Param("id"), viewer_of_(request),
      [reply = std::move(reply)](absl::StatusOr<const RecordingRecord*> record,
                                 const Timeline& timeline,
                                 int64_t end_us) mutable {
        if (!record.ok()) return reply.Fail(record.status());
        reply.Json(200, TimelineJson({(*record)->id, (*record)->first_frame_at,
                                      (*record)->first_frame_mono_us, end_us},
                                     timeline));
      });
}

}  // namespace kine
