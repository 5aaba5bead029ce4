#include "daemon/control/commands/process_routes.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "daemon/base/limits/output.h"
#include "daemon/base/limits/process.h"
#include "daemon/base/status.h"
#include "daemon/control/commands/process_replies.h"
#include "daemon/control/list_page.h"
#include "ipc/json_in.h"

namespace kine {
namespace {

constexpr absl::string_view kWaits[] = {"exit", "ready"};
constexpr char kVersion[] = "0.2.0";
constexpr JsonName<SignalScope> kScopes[] = {{"process", SignalScope::kProcess},
                                             {"group", SignalScope::kGroup},
                                             {"tree", SignalScope::kTree}};

constexpr int64_t kOffsetMax = std::numeric_limits<int64_t>::max();

struct SignalRequest {
  std::string name;
  SignalScope scope = SignalScope::kTree;
};

void BindSignal(JsonObject& o, SignalRequest& request) {
  o.Text("signal", request.name, {.max = 32}, JsonNeed::kRequired);
  o.Enum("scope", request.scope, kScopes);
}

struct Size {
  int cols = 0;
  int rows = 0;
};

void BindSize(JsonObject& o, Size& size) {
  o.Int("cols", size.cols, 1, limits::kTerminalSideMax, JsonNeed::kRequired);
  o.Int("rows", size.rows, 1, limits::kTerminalSideMax, JsonNeed::kRequired);
}

ListKey KeyOf(const ProcessRecord& record) {
  return ListKey{record.state == ProcessState::kExited ? 1 : 0,
                 absl::ToUnixMicros(record.started_at), record.id};
}

// label=KEY or label=KEY=VALUE.
bool HasLabel(const ProcessRecord& record, absl::string_view wanted) {
  const std::pair<std::string, std::string> pair =
      absl::StrSplit(wanted, absl::MaxSplits('=', 1));
  const auto it = record.request.labels.find(pair.first);
  if (it == record.request.labels.end()) return false;
  return wanted.find('=') == wanted.npos || it->second == pair.second;
}

}  // namespace

std::shared_ptr<OutputStreams> StreamsOf(const ProcessTable& table,
                                         const ProcessRecord& record) {
  auto* output = static_cast<StoredOutput*>(table.OutputOf(record));
  return output == nullptr ? nullptr : output->streams();
}

ProcessRoutes::ProcessRoutes(Loop& loop, ProcessTable& table, OutputPool& pool,
                             bool owner_optional)
    : loop_(loop),
      table_(table),
      pool_(pool),
      owner_optional_(owner_optional) {}

std::vector<Route> ProcessRoutes::Routes() {
  std::vector<Route> routes;
  using Member = void (ProcessRoutes::*)(const Request&, Reply);
  const auto add = [&](Method method, absl::string_view path,
                       absl::string_view help, Route::Body body,
                       Member member) -> Route& {
    Route& route = routes.emplace_back(
        RouteTo(*this, member, method, path, help, kVersion));
    route.body = body;
    return route;
  };
  using Body = Route::Body;
  const QueryParameter timeout = {
      "timeout_ms", "how long to wait (300000)", {}, 0, limits::kWaitMaxMs};
  Route& start =
      add(Method::kPost, "/v1/processes", "Start a command, or attach",
          Body::kJson, &ProcessRoutes::Start);
  start.fields = [](JsonObject& o) {
    ProcessRequest request;
    BindProcessRequest(o, request);
  };
  start.example = R"({"id":"build-1","command":"true"})";
  start.answers = JsonAnswers("Process", ProcessSamples(), {200, 201});
  Route list = RouteTo(*this, &ProcessRoutes::List, Method::kGet,
                       "/v1/processes", "List commands", kVersion);
  list.answers = JsonAnswers("ProcessList", ListSamples(ProcessSamples()));
  list.query = {
      {"state",
       "only those in this state",
       {"starting", "running", "orphan", "exited"}},
      {"label", "KEY or KEY=VALUE"},
      {"limit", "at most so many (100)", {}, 1, limits::kListItemsMax},
      {"cursor", "`next` of the page before"}};
  routes.push_back(std::move(list));
  const std::vector<RouteAnswer> process =
      JsonAnswers("Process", ProcessSamples());
  Route& get = add(Method::kGet, "/v1/processes/{id}", "The state of a command",
                   Body::kNone, &ProcessRoutes::Get);
  get.answers = process;
  get.query = {{"wait",
                "until its end, or until it is ready",
                {std::begin(kWaits), std::end(kWaits)}},
               timeout};
  Route& output =
      add(Method::kGet, "/v1/processes/{id}/output", "What it has written",
          Body::kNone, &ProcessRoutes::GetOutput);
  output.query = {
      {"stream",
       "`both` with follow=1, `merged` where there is one stream",
       {"stdout", "stderr", "merged", "both"}},
      {"from", "the first byte's offset (0)", {}, 0, kOffsetMax},
      {"from_stderr", "that of stderr, with stream=both", {}, 0, kOffsetMax},
      {"max",
       "at most so many bytes (65536)",
       {},
       4,
       static_cast<int64_t>(limits::kOutputReplyBytesMax)},
      {"wait", "until there is some behind `from`", {"output"}},
      {"follow", "1: as it comes, SSE or NDJSON by Accept", {"0", "1"}},
      {"view", "agent: head and tail for a model", {"raw", "agent"}},
      {"encoding", "of `data`", {"utf8", "base64"}},
      timeout};
  output.answers = JsonAnswers("Output", OutputSamples());
  output.answers.push_back({200, "text/event-stream"});
  output.answers.push_back({200, "application/x-ndjson"});
  output.problems = {409, 410};
  Route& input = add(Method::kPut, "/v1/processes/{id}/stdin",
                     "Write to its standard input", Body::kOctets,
                     &ProcessRoutes::PutInput);
  input.answers = JsonAnswers("Input", {InputReply(InputPipe::State())});
  input.query = {{"offset",
                  "of the body's first byte in all input",
                  {},
                  0,
                  kOffsetMax,
                  true},
                 {"eof", "1: this is the end", {"0", "1"}},
                 {"timeout_ms",
                  "until the command takes it (30000)",
                  {},
                  0,
                  limits::kWaitMaxMs}};
  Route& signal = add(Method::kPost, "/v1/processes/{id}/signal",
                      "Send a signal", Body::kJson, &ProcessRoutes::Signal);
  signal.fields = [](JsonObject& o) {
    SignalRequest request;
    BindSignal(o, request);
  };
  signal.example = R"({"signal":"TERM","scope":"tree"})";
  signal.answers = process;
  signal.reserved = true;
  Route& cancel = add(Method::kPost, "/v1/processes/{id}/cancel",
                      "TERM, grace, KILL on the whole tree; repeatable",
                      Body::kJson, &ProcessRoutes::Cancel);
  cancel.fields = [](JsonObject&) {};
  std::vector<std::string> cancelled = ProcessSamples();
  cancelled.push_back(FencedReply("demo"));
  cancel.answers = JsonAnswers("Cancelled", std::move(cancelled));
  cancel.reserved = true;
  Route& resize =
      add(Method::kPost, "/v1/processes/{id}/resize", "Resize its terminal",
          Body::kJson, &ProcessRoutes::Resize);
  resize.fields = [](JsonObject& o) {
    Size size;
    BindSize(o, size);
  };
  resize.answers = process;
  resize.example = R"({"cols":80,"rows":24})";
  add(Method::kDelete, "/v1/processes/{id}", "Forget an ended command",
      Body::kNone, &ProcessRoutes::Delete)
      .answers = {{204, ""}};
  return routes;
}

ProcessViewer ProcessRoutes::ViewerOf(const Request& request) const {
  return ProcessViewer{request.owner, request.owner.empty() && owner_optional_};
}

std::string ProcessRoutes::StateJson(const ProcessRecord& record,
                                     std::optional<bool> attached) const {
  const ProcessOutput* output = table_.OutputOf(record);
  return ProcessReply(record, attached,
                      output == nullptr ? std::optional<ProcessOutput::Totals>()
                                        : output->totals());
}

void ProcessRoutes::Answer(
    Reply& reply, const absl::StatusOr<const ProcessRecord*>& record) const {
  if (record.ok())
    reply.Json(200, StateJson(**record, std::nullopt));
  else
    reply.Fail(record.status());
}

void ProcessRoutes::Start(const Request& request, Reply reply) {
  absl::StatusOr<ProcessRequest> parsed = ParseProcessRequest(request.body);
  if (!parsed.ok()) {
    reply.Fail(parsed.status());
    return;
  }
  const absl::Status taken =
      TakeIdempotencyKey(request, "process'", parsed->id);
  if (!taken.ok()) {
    reply.Fail(taken);
    return;
  }
  // One that is known attaches, whether or not there is room for more.
  const bool known =
      !parsed->id.empty() &&
      !absl::IsNotFound(table_.Find(parsed->id, ViewerOf(request)).status());
  if (!known) {
    const absl::Status admitted = pool_.Admit(*parsed);
    if (!admitted.ok()) {
      reply.Fail(admitted);
      return;
    }
  }
  table_.Start(
      *std::move(parsed), request.owner,
      [this, reply = std::move(reply)](
          absl::StatusOr<const ProcessRecord*> record, bool attached) mutable {
        if (record.ok())
          reply.Json(attached ? 200 : 201, StateJson(**record, attached));
        else
          reply.Fail(record.status());
      });
}

void ProcessRoutes::List(const Request& request, Reply reply) const {
  absl::StatusOr<ListPage> page = ListPage::Of(request);
  std::optional<ProcessState> state;
  absl::Status status = page.status();
  if (const auto name = request.Query("state")) {
    state = ProcessStateFromName(*name);
    if (!state.has_value())
      status.Update(
          FieldError("state", "must be starting, running, orphan or exited"));
  }
  if (!status.ok()) {
    reply.Fail(status);
    return;
  }
  const auto label = request.Query("label");
  std::vector<const ProcessRecord*> records = table_.List(ViewerOf(request));
  std::sort(records.begin(), records.end(),
            [](const ProcessRecord* a, const ProcessRecord* b) {
              return IsAfter(KeyOf(*b), KeyOf(*a));
            });
  for (const ProcessRecord* record : records) {
    if (state.has_value() && record->state != *state) continue;
    if (label.has_value() && !HasLabel(*record, *label)) continue;
    if (page->Takes(KeyOf(*record)))
      page->Add(StateJson(*record, std::nullopt));
  }
  reply.Json(200, page->Finish());
}

void ProcessRoutes::Get(const Request& request, Reply reply) {
  const absl::StatusOr<Wait> wait = ParseWait(request, kWaits);
  if (!wait.ok()) {
    reply.Fail(wait.status());
    return;
  }
  const absl::string_view id = request.Param("id");
  if (wait->what.empty()) {
    Answer(reply, table_.Find(id, ViewerOf(request)));
    return;
  }
  table_.Wait(id, ViewerOf(request),
              wait->what == "exit" ? ProcessTable::WaitFor::kExit
                                   : ProcessTable::WaitFor::kReady,
              wait->timeout,
              [this, reply = std::move(reply)](
                  absl::StatusOr<const ProcessRecord*> record) mutable {
                Answer(reply, record);
              });
}

void ProcessRoutes::Signal(const Request& request, Reply reply) {
  SignalRequest wanted;
  absl::Status bound =
      BindJson(request.body, {}, [&](JsonObject& o) { BindSignal(o, wanted); });
  const std::optional<int> signal = SignalFromName(wanted.name);
  if (bound.ok() && !signal.has_value())
    bound = FieldError("signal",
                       "must be a signal's name or number: TERM, SIGINT, 9");
  if (!bound.ok()) {
    reply.Fail(bound);
    return;
  }
  table_.Signal(request.Param("id"), ViewerOf(request), *signal, wanted.scope,
                [this, reply = std::move(reply)](
                    absl::StatusOr<const ProcessRecord*> record) mutable {
                  Answer(reply, record);
                });
}

void ProcessRoutes::Cancel(const Request& request, Reply reply) {
  if (!request.body.empty()) {
    const absl::Status bound = BindJson(request.body, {}, [](JsonObject&) {});
    if (!bound.ok()) {
      reply.Fail(bound);
      return;
    }
  }
  const std::string id(request.Param("id"));
  table_.Cancel(id, ViewerOf(request),
                [this, id, reply = std::move(reply)](
                    absl::StatusOr<const ProcessRecord*> record) mutable {
                  if (!record.ok() || *record != nullptr) {
                    Answer(reply, record);
                    return;
                  }
                  reply.Json(200, FencedReply(id));
                });
}

void ProcessRoutes::Resize(const Request& request, Reply reply) {
  Size size;
  const absl::Status bound =
      BindJson(request.body, {}, [&size](JsonObject& o) { BindSize(o, size); });
  if (!bound.ok()) {
    reply.Fail(bound);
    return;
  }
  Answer(reply, table_.Resize(request.Param("id"), ViewerOf(request), size.cols,
                              size.rows));
}

void ProcessRoutes::Delete(const Request& request, Reply reply) {
  table_.Delete(request.Param("id"), ViewerOf(request),
                [reply = std::move(reply)](const absl::Status& status) mutable {
                  if (!status.ok()) {
                    reply.Fail(status);
                    return;
                  }
                  Response response;
                  response.status = 204;
                  reply.Send(std::move(response));
                });
}

void ProcessRoutes::PutInput(const Request& request, Reply reply) {
  uint64_t offset = 0;
  int64_t timeout_ms = limits::kStdinWaitMs;
  absl::Status status;
  const auto offset_text = request.Query("offset");
  if (!offset_text.has_value() || !absl::SimpleAtoi(*offset_text, &offset))
    status = FieldError("offset",
                        "must be given: where the body begins in all that is "
                        "written to standard input, 0 at first");
  if (const auto text = request.Query("timeout_ms");
      text.has_value() && (!absl::SimpleAtoi(*text, &timeout_ms) ||
                           timeout_ms < 0 || timeout_ms > limits::kWaitMaxMs))
    status.Update(FieldError(
        "timeout_ms", absl::StrCat("must be 0 to ", limits::kWaitMaxMs)));
  const absl::string_view eof = request.Query("eof").value_or("0");
  if (eof != "0" && eof != "1")
    status.Update(FieldError("eof", "must be 0 or 1"));
  const auto record = table_.Find(request.Param("id"), ViewerOf(request));
  status.Update(record.status());
  const auto streams = status.ok() ? StreamsOf(table_, **record) : nullptr;
  if (status.ok() && (streams == nullptr || streams->input() == nullptr))
    status = WithProblem(absl::FailedPreconditionError(
                             "the command has no standard input; start it with "
                             "\"stdin\":\"pipe\" or a pty"),
                         409, "no_stdin");
  if (!status.ok()) {
    reply.Fail(status);
    return;
  }
  pool_.metrics().input_bytes.Add(request.body.size());
  streams->input()->Write(
      offset, request.body, eof == "1", absl::Milliseconds(timeout_ms),
      [reply =
           std::move(reply)](absl::StatusOr<InputPipe::State> state) mutable {
        if (!state.ok()) {
          reply.Fail(state.status());
          return;
        }
        reply.Json(200, InputReply(*state));
      });
}

}  // namespace kine
