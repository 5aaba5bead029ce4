#include "daemon/control/service.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits.h"
#include "daemon/base/status.h"
#include "daemon/control/list_page.h"
#include "ipc/json_in.h"
#include "ipc/json_out.h"

namespace kine {
namespace {

constexpr absl::string_view kWaits[] = {"first_frame", "ready"};

void BindStop(JsonObject& o, bool& wait_ready) {
  o.Bool("wait_ready", wait_ready);
}

ListKey KeyOf(const RecordingRecord& record) {
  return ListKey{IsActive(record.state) ? 0 : 1, record.generation(),
                 record.id};
}

constexpr char kHealthy[] = R"({"status":"ok"})";

// As the recorder's --list_sources writes them.
constexpr char kSources[] =
    R"({"items":[{"kind":"pipewire","available":true,"name":"desk","node":41,)"
    R"("serial":99,"description":"a desktop","media_class":"Video/Source"},)"
    R"({"kind":"portal","available":false,"reason":"no session bus"}],)"
    R"("total":2})";

void AnswerState(Reply& reply, int http_status,
                 const absl::StatusOr<const RecordingRecord*>& record) {
  if (record.ok())
    reply.Json(http_status, StateReplyOf(**record, std::nullopt));
  else
    reply.Fail(record.status());
}

}  // namespace

Service::Service(const RunContext& context, Catalogue& catalogue,
                 EventRing& events, const ReplayRing& replay,
                 const DaemonInfo& info, bool owner_optional)
    : context_(context),
      catalogue_(catalogue),
      events_(events),
      replay_(replay),
      info_(info),
      owner_optional_(owner_optional),
      artifact_routes_(
          context, catalogue,
          [this](const Request& request) { return ViewerOf(request); }),
      digest_routes_(
          context, catalogue, events,
          [this](const Request& request) { return ViewerOf(request); }),
      extractor_(context),
      picture_routes_(
          catalogue, extractor_,
          [this](const Request& request) { return ViewerOf(request); }),
      cursor_routes_(
          context, catalogue,
          [this](const Request& request) { return ViewerOf(request); }),
      screenshot_routes_(context),
      trace_routes_(
          context, catalogue,
          [this](const Request& request) { return ViewerOf(request); }),
      timeline_routes_(
          catalogue,
          [this](const Request& request) { return ViewerOf(request); }),
      live_routes_(
          context, catalogue,
          [this](const Request& request) { return ViewerOf(request); }),
      replay_routes_(catalogue, replay) {}

Service::~Service() {
  for (Reply& reply : listing_replies_)
    reply.Fail(absl::UnavailableError("the daemon is stopping"));
}

std::vector<Route> Service::Routes() {
  using Body = Route::Body;
  const auto route = [](Method method, absl::string_view path,
                        absl::string_view help, Route::Handler handler) {
    Route r;
    r.method = method;
    r.path = path;
    r.help = help;
    r.since = "0.1.0";
    r.handler = std::move(handler);
    return r;
  };
  std::vector<Route> routes;
  const auto add = [&](Route r) -> Route& {
    routes.push_back(std::move(r));
    return routes.back();
  };
  add(route(Method::kGet, "/v1/info", "Version, back ends and limits",
            [this](Request, Reply reply) { GetInfo(std::move(reply)); }))
      .answers = JsonAnswers("Info", InfoSamples());
  Route& health = add(route(
      Method::kGet, "/v1/healthz", "200 while it serves, 503 while it stops",
      [this](Request, Reply reply) { GetHealth(std::move(reply)); }));
  health.answers = JsonAnswers("Health", {kHealthy});
  health.reserved = true;
  add(route(Method::kGet, "/v1/sources", "What could be captured, and why not",
            [this](Request, Reply reply) { GetSources(std::move(reply)); }))
      .answers = JsonAnswers("Sources", {kSources});
  Route& events =
      add(route(Method::kGet, "/v1/events",
                "Every state change, as SSE or NDJSON, without an end",
                [this](Request request, Reply reply) {
                  FollowEvents(request, std::move(reply));
                }));
  events.query = {{"since", "resume after this event id"}};
  events.answers = {{200, "text/event-stream"}, {200, "application/x-ndjson"}};
  add(route(Method::kGet, "/metrics", "OpenMetrics",
            [this](Request, Reply reply) {
              Response response;
              response.content_type =
                  "application/openmetrics-text; version=1.0.0; charset=utf-8";
              response.body = metrics_();
              reply.Send(std::move(response));
            }))
      .answers = {{200, "application/openmetrics-text"}};
  Route& start =
      add(route(Method::kPost, "/v1/recordings", "Start a recording, or attach",
                [this](Request request, Reply reply) {
                  StartRecording(request, std::move(reply));
                }));
  start.body = Body::kJson;
  start.fields = [](JsonObject& o) {
    RecordingRequest request;
    BindRecordingRequest(o, request);
  };
  start.example = R"({"id":"demo","source":"test","max_duration_ms":60000})";
  start.answers = JsonAnswers("Recording", StateReplySamples(), {200, 201});
  Route& list = add(route(Method::kGet, "/v1/recordings", "List recordings",
                          [this](Request request, Reply reply) {
                            ListRecordings(request, std::move(reply));
                          }));
  list.answers = JsonAnswers("RecordingList", ListSamples(StateReplySamples()));
  list.query = {
      {"state",
       "only those in this state",
       {"starting", "recording", "paused", "finalizing", "ready", "interrupted",
        "failed"}},
      {"limit", "at most so many (100)", {}, 1, limits::kListItemsMax},
      {"cursor", "`next` of the page before"}};
  Route& state =
      add(route(Method::kGet, "/v1/recordings/{id}", "The state of a recording",
                [this](Request request, Reply reply) {
                  GetRecording(request, std::move(reply));
                }));
  state.answers = JsonAnswers("Recording", StateReplySamples());
  state.query = {
      {"wait",
       "until its first frame, or its end",
       {std::begin(kWaits), std::end(kWaits)}},
      {"timeout_ms", "how long to wait (300000)", {}, 0, limits::kWaitMaxMs}};
  Route& stop = add(route(Method::kPost, "/v1/recordings/{id}/stop",
                          "End a recording; repeatable",
                          [this](Request request, Reply reply) {
                            StopRecording(request, std::move(reply));
                          }));
  stop.body = Body::kJson;
  stop.fields = [](JsonObject& o) {
    bool wait_ready = false;
    BindStop(o, wait_ready);
  };
  stop.answers = JsonAnswers("Recording", StateReplySamples());
  stop.reserved = true;
  AddPauseRoutes(routes);
  artifact_routes_.AddTo(routes);
  digest_routes_.AddTo(routes);
  picture_routes_.AddTo(routes);
  cursor_routes_.AddTo(routes);
  screenshot_routes_.AddTo(routes);
  trace_routes_.AddTo(routes);
  timeline_routes_.AddTo(routes);
  live_routes_.AddTo(routes);
  replay_routes_.AddTo(routes);
  add(route(Method::kDelete, "/v1/recordings/{id}",
            "Delete a finished recording and its files",
            [this](Request request, Reply reply) {
              DeleteRecording(request, std::move(reply));
            }))
      .answers = {{204, ""}};
  return routes;
}

void Service::set_stopping() {
  stopping_ = true;
  digest_routes_.Stop();
}

Viewer Service::ViewerOf(const Request& request) const {
  return Viewer{request.owner, request.owner.empty() && owner_optional_};
}

void Service::GetInfo(Reply reply) const {
  reply.Json(200, InfoJson(info_, context_.recorders, replay_));
}

void Service::GetHealth(Reply reply) const {
  if (stopping_)
    reply.Fail(absl::UnavailableError("the daemon is stopping"));
  else
    reply.Json(200, kHealthy);
}

void Service::GetSources(Reply reply) {
  listing_replies_.push_back(std::move(reply));
  if (listing_ != nullptr) return;
  listing_ = std::make_unique<OneShot>(
      context_.loop, context_.spawner,
      std::vector<std::string>{context_.recorder_path, "--list_sources"},
      std::vector<UniqueFd>{}, absl::Milliseconds(limits::kListSourcesMs),
      [this](absl::StatusOr<std::string> output) {
        OnSources(std::move(output));
      });
}

void Service::OnSources(absl::StatusOr<std::string> output) {
  listing_.reset();
  for (Reply& reply : std::exchange(listing_replies_, {})) {
    if (output.ok())
      reply.Json(200, *output);
    else
      reply.Fail(WithContext("cannot list the sources", output.status()));
  }
}

void Service::FollowEvents(const Request& request, Reply reply) {
  const Viewer viewer = ViewerOf(request);
  absl::StatusOr<Response> response =
      events_.Follow(request, EventFilter{viewer.all, viewer.owner});
  if (response.ok())
    reply.Send(*std::move(response));
  else
    reply.Fail(response.status());
}

void Service::StartRecording(const Request& request, Reply reply) {
  absl::StatusOr<RecordingRequest> parsed = ParseRecordingRequest(request.body);
  if (!parsed.ok()) {
    reply.Fail(parsed.status());
    return;
  }
  const absl::Status taken =
      TakeIdempotencyKey(request, "recording's", parsed->id);
  if (!taken.ok()) {
    reply.Fail(taken);
    return;
  }
  catalogue_.Start(
      *std::move(parsed), request.owner,
      [reply = std::move(reply)](absl::StatusOr<const RecordingRecord*> record,
                                 bool attached) mutable {
        if (record.ok())
          reply.Json(attached ? 200 : 201, StateReplyOf(**record, attached));
        else
          reply.Fail(record.status());
      });
}

void Service::ListRecordings(const Request& request, Reply reply) const {
  absl::StatusOr<ListPage> page = ListPage::Of(request);
  std::optional<RecordingState> state;
  absl::Status status = page.status();
  if (const auto name = request.Query("state")) {
    state = RecordingStateFromName(*name);
    if (!state.has_value())
      status.Update(
          FieldError("state",
                     "must be starting, recording, paused, finalizing, "
                     "ready, interrupted or failed"));
  }
  if (!status.ok()) {
    reply.Fail(status);
    return;
  }
  for (const RecordingRecord* record : catalogue_.List(ViewerOf(request))) {
    if (state.has_value() && record->state != *state) continue;
    if (page->Takes(KeyOf(*record)))
      page->Add(StateReplyOf(*record, std::nullopt));
  }
  reply.Json(200, page->Finish());
}

void Service::GetRecording(const Request& request, Reply reply) {
  const absl::StatusOr<Wait> wait = ParseWait(request, kWaits);
  if (!wait.ok()) {
    reply.Fail(wait.status());
    return;
  }
  const absl::string_view id = request.Param("id");
  const Viewer viewer = ViewerOf(request);
  if (wait->what.empty()) {
    AnswerState(reply, 200, catalogue_.Find(id, viewer));
    return;
  }
  catalogue_.Wait(id, viewer,
                  wait->what == "ready" ? Catalogue::WaitFor::kReady
                                        : Catalogue::WaitFor::kFirstFrame,
                  wait->timeout,
                  [reply = std::move(reply)](
                      absl::StatusOr<const RecordingRecord*> record) mutable {
                    AnswerState(reply, 200, record);
                  });
}

void Service::StopRecording(const Request& request, Reply reply) {
  bool wait_ready = false;
  if (!request.body.empty()) {
    const absl::Status bound =
        BindJson(request.body, {},
                 [&wait_ready](JsonObject& o) { BindStop(o, wait_ready); });
    if (!bound.ok()) {
      reply.Fail(bound);
      return;
    }
  }
  catalogue_.Stop(request.Param("id"), ViewerOf(request), wait_ready,
                  [reply = std::move(reply)](
                      absl::StatusOr<const RecordingRecord*> record) mutable {
                    AnswerState(reply, 200, record);
                  });
}

void Service::DeleteRecording(const Request& request, Reply reply) {
  catalogue_.Delete(request.Param("id"), ViewerOf(request),
                    [reply = std::move(reply)](absl::Status status) mutable {
                      if (!status.ok()) {
                        reply.Fail(status);
                        return;
                      }
                      Response response;
                      response.status = 204;
                      reply.Send(std::move(response));
                    });
}

}  // namespace kine
