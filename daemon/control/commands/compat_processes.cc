// The mount for coder's clients.
#include <algorithm>
#include <csignal>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits/output.h"
#include "daemon/base/limits/process.h"
#include "daemon/base/status.h"
#include "daemon/control/commands/coder_response.h"
#include "daemon/control/commands/process_replies.h"
#include "daemon/control/commands/process_routes.h"
#include "daemon/output/output_text.h"
#include "ipc/json_in.h"
#include "ipc/json_out.h"

namespace kine {
namespace {

constexpr char kBackground[] = "coder.background";  // A label.
constexpr size_t kListed = 10;
constexpr absl::Duration kListedFor = absl::Minutes(5);
constexpr JsonLimits kLenient = {.unknown = JsonUnknown::kIgnore};

const ProcessViewer kEverybody{"", true};

void NotFound(Reply& reply, absl::string_view id) {
  RespondAsCoder(reply, 404, absl::StrCat("Process \"", id, "\" not found."));
}

bool Sees(const Request& request, const ProcessRecord& record) {
  return request.owner.empty() || record.owner.empty() ||
         request.owner == record.owner;
}

// Go's ExitCode(): a signal is -1, and so is what nobody knows.
int ExitCodeOf(const ProcessExit& exit) { return exit.code.value_or(-1); }

bool IsBackground(const ProcessRecord& record) {
  const auto it = record.request.labels.find(kBackground);
  return it != record.request.labels.end() && it->second == "true";
}

void BindStart(JsonObject& o, ProcessRequest& start, bool& background) {
  o.Text("command", start.command,
         {.max = limits::kCommandBytesMax, .charset = JsonTextRule::kAny});
  o.Text("workdir", start.cwd, {.max = 4096, .charset = JsonTextRule::kAny});
  o.TextMap(
      "env", start.env, limits::kEnvironmentMax,
      {.min = 1, .max = limits::kEnvironmentNameMax},
      {.max = limits::kEnvironmentValueMax, .charset = JsonTextRule::kAny});
  o.Bool("background", background);
}

void BindSignal(JsonObject& o, std::string& name) {
  o.Text("signal", name, {.max = 256, .charset = JsonTextRule::kAny});
}

void WriteInfo(JsonOut& out, const ProcessRecord& record) {
  out.BeginObject();
  out.Field("id", record.id);
  out.Field("command", record.request.CommandText());
  out.Field("workdir", record.request.cwd);
  out.Field("background", IsBackground(record));
  out.Field("running", !record.ended());
  if (record.ended()) out.Field("exit_code", ExitCodeOf(*record.exit));
  out.Field("started_at_unix", absl::ToUnixSeconds(record.started_at));
  if (record.ended())
    out.Field("exited_at_unix", absl::ToUnixSeconds(record.exit->at));
  out.End();
}

std::string StartedReply(absl::string_view id) {
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  out.Field("id", id);
  out.Field("started", true);
  out.End();
  return text;
}

std::string ListReply(const std::vector<const ProcessRecord*>& records) {
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  out.BeginList("processes");
  for (const ProcessRecord* record : records) WriteInfo(out, *record);
  out.End();
  out.End();
  return text;
}

std::string CompatOutputReply(const AgentView& view,
                              const ProcessRecord& record) {
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  out.Field("output", view.text);
  if (view.omitted_bytes > 0) {
    out.BeginObject("truncated");
    out.Field("original_bytes", view.original_bytes);
    out.Field("retained_bytes", view.text.size());
    out.Field("omitted_bytes", view.omitted_bytes);
    out.Field("strategy", "head_tail");
    out.End();
  }
  out.Field("running", !record.ended());
  if (record.ended()) out.Field("exit_code", ExitCodeOf(*record.exit));
  out.End();
  return text;
}

std::vector<std::string> ListReplySamples() {
  const std::vector<ProcessRecord> records = ProcessRecordSamples();
  std::vector<const ProcessRecord*> all;
  all.reserve(records.size());
  for (const ProcessRecord& record : records) all.push_back(&record);
  return {ListReply(all)};
}

std::vector<std::string> OutputReplySamples() {
  std::vector<std::string> samples;
  AgentView view;
  for (const ProcessRecord& record : ProcessRecordSamples()) {
    samples.push_back(CompatOutputReply(view, record));
    view.omitted_bytes = 1;
  }
  return samples;
}

}  // namespace

CompatProcesses::CompatProcesses(const Clock& clock, ProcessTable& table,
                                 OutputPool& pool)
    : clock_(clock), table_(table), pool_(pool) {}

std::vector<Route> CompatProcesses::Routes() {
  std::vector<Route> routes;
  using Member = void (CompatProcesses::*)(const Request&, Reply);
  const auto add = [&](Method method, absl::string_view path,
                       absl::string_view help, Member member) -> Route& {
    Route& route = routes.emplace_back(
        RouteTo(*this, member, method, path, help, "0.2.0"));
    if (method == Method::kPost) route.body = Route::Body::kJson;
    return route;
  };
  Route& start = add(Method::kPost, "/api/v0/processes/start",
                     "As coder's agent: start", &CompatProcesses::Start);
  start.fields = [](JsonObject& o) {
    ProcessRequest request;
    bool background = false;
    BindStart(o, request, background);
  };
  start.example = R"({"command":"true"})";
  start.answers = JsonAnswers("CoderStarted", {StartedReply("demo")});
  start.problems = {500};  // Whatever keeps it from starting, as there.
  add(Method::kGet, "/api/v0/processes/list", "As coder's agent: list",
      &CompatProcesses::List)
      .answers = JsonAnswers("CoderProcesses", ListReplySamples());
  Route& output =
      add(Method::kGet, "/api/v0/processes/{id}/output",
          "As coder's agent: head and tail", &CompatProcesses::Output);
  output.answers = JsonAnswers("CoderOutput", OutputReplySamples());
  output.query = {{"wait", "true: until it exits, at most 5 minutes"}};
  Route& signal =
      add(Method::kPost, "/api/v0/processes/{id}/signal",
          "As coder's agent: kill or terminate", &CompatProcesses::Signal);
  signal.fields = [](JsonObject& o) {
    std::string name;
    BindSignal(o, name);
  };
  signal.answers = JsonAnswers("CoderResponse", {CoderResponseJson("x")});
  signal.example = R"({"signal":"terminate"})";
  signal.reserved = true;
  return routes;
}

void CompatProcesses::Start(const Request& request, Reply reply) {
  ProcessRequest start;
  bool background = false;
  const absl::Status bound =
      BindJson(request.body, kLenient,
               [&](JsonObject& o) { BindStart(o, start, background); });
  if (!bound.ok()) {
    RespondAsCoder(reply, 400, "Request body must be valid JSON.",
                   bound.message());
    return;
  }
  if (start.command.empty()) {
    RespondAsCoder(reply, 400, "Command is required.");
    return;
  }
  // One stream, in the order of writing; what a shell leaves behind lives on.
  start.merge_stderr = true;
  start.on_exit = ProcessRequest::OnExit::kKeep;
  start.labels[kBackground] = background ? "true" : "false";
  if (!request.owner.empty()) start.env["CODER_CHAT_ID"] = request.owner;
  const auto fail = [](Reply& to, const absl::Status& error) {
    RespondAsCoder(
        to, 500, "Failed to start process.",
        absl::StrCat("start process: ", absl::string_view(error.message())));
  };
  const absl::Status admitted = pool_.Admit(start);
  if (!admitted.ok()) {
    fail(reply, admitted);
    return;
  }
  table_.Start(std::move(start), request.owner,
               [fail, reply = std::move(reply)](
                   absl::StatusOr<const ProcessRecord*> record, bool) mutable {
                 if (!record.ok()) {
                   fail(reply, record.status());
                   return;
                 }
                 reply.Json(200, StartedReply((*record)->id));
               });
}

void CompatProcesses::List(const Request& request, Reply reply) {
  std::vector<const ProcessRecord*> records = table_.List(kEverybody);
  std::erase_if(records, [&](const ProcessRecord* record) {
    if (!request.owner.empty() && record->owner != request.owner) return true;
    return record->ended() && clock_.Wall() - record->exit->at > kListedFor;
  });
  std::stable_sort(records.begin(), records.end(),
                   [](const ProcessRecord* a, const ProcessRecord* b) {
                     if (a->ended() != b->ended()) return b->ended();
                     return a->started_at > b->started_at;
                   });
  if (records.size() > kListed) records.resize(kListed);
  reply.Json(200, ListReply(records));
}

const ProcessRecord* CompatProcesses::Find(const Request& request,
                                           Reply& reply) const {
  const absl::string_view id = request.Param("id");
  const auto record = table_.Find(id, kEverybody);
  if (record.ok() && Sees(request, **record)) return *record;
  NotFound(reply, id);
  return nullptr;
}

void CompatProcesses::Output(const Request& request, Reply reply) {
  const ProcessRecord* record = Find(request, reply);
  if (record == nullptr) return;
  if (request.Query("wait").value_or("") != "true") {
    AnswerOutput(*record, reply);
    return;
  }
  const std::string id = record->id;
  table_.Wait(id, kEverybody, ProcessTable::WaitFor::kExit,
              absl::Milliseconds(limits::kWaitMaxMs),
              [this, id, reply = std::move(reply)](
                  absl::StatusOr<const ProcessRecord*> waited) mutable {
                if (waited.ok())
                  AnswerOutput(**waited, reply);
                else
                  NotFound(reply, id);
              });
}

void CompatProcesses::AnswerOutput(const ProcessRecord& record,
                                   Reply& reply) const {
  AgentView view;
  const auto streams = StreamsOf(table_, record);
  if (streams != nullptr && !streams->forgotten())
    view = MakeAgentView(streams->store(Stream::kOut), limits::kAgentHeadBytes,
                         limits::kAgentTailBytes, limits::kAgentLineBytes);
  reply.Json(200, CompatOutputReply(view, record));
}

void CompatProcesses::Signal(const Request& request, Reply reply) {
  std::string name;
  const absl::Status bound = BindJson(
      request.body, kLenient, [&](JsonObject& o) { BindSignal(o, name); });
  if (!bound.ok()) {
    RespondAsCoder(reply, 400, "Request body must be valid JSON.",
                   bound.message());
    return;
  }
  if (name.empty()) {
    RespondAsCoder(reply, 400, "Signal is required.");
    return;
  }
  if (name != "kill" && name != "terminate") {
    RespondAsCoder(reply, 400,
                   absl::StrCat("Unsupported signal \"", name,
                                "\". Use \"kill\" or \"terminate\"."));
    return;
  }
  const ProcessRecord* record = Find(request, reply);
  if (record == nullptr) return;
  const std::string id = record->id;
  const auto not_running = [](Reply& to, const std::string& of) {
    RespondAsCoder(to, 409,
                   absl::StrCat("Process \"", of, "\" is not running."));
  };
  if (record->ended()) {
    not_running(reply, id);
    return;
  }
  table_.Signal(
      id, kEverybody, name == "kill" ? SIGKILL : SIGTERM, SignalScope::kGroup,
      [id, name, not_running, reply = std::move(reply)](
          absl::StatusOr<const ProcessRecord*> signalled) mutable {
        if (signalled.ok())
          RespondAsCoder(reply, 200,
                         absl::StrCat("Signal \"", name,
                                      "\" sent to process \"", id, "\"."));
        else if (absl::IsFailedPrecondition(signalled.status()))
          not_running(reply, id);
        else if (absl::IsNotFound(signalled.status()))
          NotFound(reply, id);
        else
          RespondAsCoder(reply, 500, "Failed to signal process.",
                         signalled.status().message());
      });
}

}  // namespace kine
