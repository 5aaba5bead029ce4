// GET /v1/openapi.json: the route table as OpenAPI 3.1.
#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "daemon/base/check.h"
#include "daemon/base/limits.h"
#include "ipc/json_in.h"
#include "ipc/json_out.h"
#include "ipc/problem.h"
#include "ipc/routes.h"

namespace kine {
namespace {

constexpr char kPath[] = "/v1/openapi.json";

// Errors there are codersdk.Response, as the original's clients expect.
bool IsCompatible(const Route& route) {
  return absl::StartsWith(route.path, "/api/");
}

std::vector<std::string> NamesIn(absl::string_view path) {
  std::vector<std::string> names;
  for (const absl::string_view segment : absl::StrSplit(path, '/'))
    if (segment.size() > 2 && segment.front() == '{')
      names.emplace_back(segment.substr(1, segment.size() - 2));
  return names;
}

// "get_v1_recordings_id"
std::string OperationId(const Route& route) {
  std::string id = absl::AsciiStrToLower(MethodName(route.method));
  for (const char c : route.path) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)))
      id.push_back(c);
    else if (id.back() != '_')
      id.push_back('_');
  }
  while (id.back() == '_') id.pop_back();
  return id;
}

void WriteRef(JsonOut& out, absl::string_view to) {
  out.BeginObject();
  out.Field("$ref", absl::StrCat("#/components/", to));
  out.End();
}

void WriteQuery(JsonOut& out, const QueryParameter& query) {
  out.BeginObject();
  out.Field("name", query.name);
  out.Field("in", "query");
  out.Field("description", query.help);
  if (query.required) out.Field("required", true);
  out.BeginObject("schema");
  if (!query.values.empty()) {
    out.Field("type", "string");
    out.BeginList("enum");
    for (const absl::string_view value : query.values) out.Value(value);
    out.End();
  } else if (query.max > 0) {
    out.Field("type", "integer");
    out.Field("minimum", query.min);
    out.Field("maximum", query.max);
  } else {
    out.Field("type", "string");
  }
  out.End();
  out.End();
}

bool Starts(const Route& route) {
  return std::any_of(
      route.answers.begin(), route.answers.end(),
      [](const RouteAnswer& answer) { return answer.status == 201; });
}

void WriteParameters(JsonOut& out, const Route& route) {
  out.BeginList("parameters");
  WriteRef(out, "parameters/Owner");
  if (Starts(route)) WriteRef(out, "parameters/IdempotencyKey");
  for (const std::string& name : NamesIn(route.path)) {
    out.BeginObject();
    out.Field("name", name);
    out.Field("in", "path");
    out.Field("required", true);
    out.BeginObject("schema");
    out.Field("type", "string");
    out.Field("maxLength", limits::kRecordingIdMax);
    out.End();
    out.End();
  }
  for (const QueryParameter& query : route.query) WriteQuery(out, query);
  out.End();
}

void WriteBody(JsonOut& out, const Route& route) {
  if (route.body == Route::Body::kNone) return;
  const bool json = route.body == Route::Body::kJson;
  out.BeginObject("requestBody");
  out.Field("description",
            absl::StrCat("at most ", route.body_bytes_max(), " bytes"));
  out.BeginObject("content");
  out.BeginObject(json ? "application/json" : "application/octet-stream");
  if (route.fields != nullptr) {
    out.FieldRaw(
        "schema",
        DescribeJson(route.fields, IsCompatible(route) ? JsonUnknown::kIgnore
                                                       : JsonUnknown::kRefuse));
  }
  if (!route.example.empty()) out.FieldRaw("example", route.example);
  out.End();
  out.End();
  out.End();
}

// What rule 3 of the API says about a request of this kind.
std::set<int> ProblemsOf(const Route& route) {
  std::set<int> problems(route.problems.begin(), route.problems.end());
  problems.insert({400, 503});
  if (!NamesIn(route.path).empty()) problems.insert({404, 414});
  if (route.body != Route::Body::kNone) problems.insert(413);
  if (route.method != Method::kGet) problems.insert(409);
  if (route.method == Method::kPost || route.method == Method::kPut)
    problems.insert({410, 429, 507});
  return problems;
}

void WriteAnswers(JsonOut& out, const Route& route) {
  out.BeginObject("responses");
  std::set<int> statuses;
  for (const RouteAnswer& answer : route.answers)
    statuses.insert(answer.status);
  for (const int status : statuses) {
    out.BeginObject(absl::StrCat(status));
    out.Field("description", ReasonPhrase(status));
    out.BeginObject("content");
    for (const RouteAnswer& answer : route.answers) {
      if (answer.status != status || answer.media_type.empty()) continue;
      out.BeginObject(answer.media_type);
      if (!answer.schema.empty()) {
        out.BeginObject("schema");
        out.Field("$ref", absl::StrCat("#/components/schemas/", answer.schema));
        out.End();
      }
      out.End();
    }
    out.End();
    out.End();
  }
  const char* const error =
      IsCompatible(route) ? "responses/CompatibleError" : "responses/Problem";
  for (const int status : ProblemsOf(route)) {
    out.BeginObject(absl::StrCat(status));
    out.Field("$ref", absl::StrCat("#/components/", error));
    out.End();
  }
  out.BeginObject("default");
  out.Field("$ref", "#/components/responses/Problem");
  out.End();
  out.End();
}

void WriteOperation(JsonOut& out, const Route& route) {
  out.BeginObject(absl::AsciiStrToLower(MethodName(route.method)));
  out.Field("operationId", OperationId(route));
  out.Field("summary", route.help);
  out.Field("x-since", route.since);
  WriteParameters(out, route);
  WriteBody(out, route);
  WriteAnswers(out, route);
  out.End();
}

void WriteHeader(JsonOut& out, absl::string_view component,
                 absl::string_view name, absl::string_view help) {
  out.BeginObject(component);
  out.Field("name", name);
  out.Field("in", "header");
  out.Field("description", help);
  out.BeginObject("schema");
  out.Field("type", "string");
  out.End();
  out.End();
}

void WriteError(JsonOut& out, absl::string_view component,
                absl::string_view media_type, absl::string_view help,
                std::initializer_list<const char*> texts,
                std::initializer_list<const char*> required) {
  out.BeginObject(component);
  out.Field("description", help);
  out.BeginObject("content");
  out.BeginObject(media_type);
  out.BeginObject("schema");
  out.Field("type", "object");
  out.BeginObject("properties");
  for (const char* name : texts) {
    out.BeginObject(name);
    out.Field("type",
              absl::string_view(name) == "status" ? "integer" : "string");
    out.End();
  }
  out.End();
  out.BeginList("required");
  for (const char* name : required) out.Value(name);
  out.End();
  out.End();
  out.End();
  out.End();
  out.End();
}

// A name means the same in every route.
void WriteSchemas(JsonOut& out, absl::Span<const Route> routes) {
  std::map<absl::string_view, std::string> schemas;
  for (const Route& route : routes) {
    for (const RouteAnswer& answer : route.answers) {
      if (answer.schema.empty()) continue;
      std::string schema = SchemaOfSamples(answer.samples);
      const auto [known, added] = schemas.emplace(answer.schema, schema);
      KINE_CHECK(added || known->second == schema);
    }
  }
  out.BeginObject("schemas");
  for (const auto& [name, schema] : schemas) out.FieldRaw(name, schema);
  out.End();
}

void WriteComponents(JsonOut& out, absl::Span<const Route> routes) {
  out.BeginObject("components");
  WriteSchemas(out, routes);
  out.BeginObject("parameters");
  WriteHeader(out, "Owner", "Kinescope-Owner",
              "what this owner started, only it sees");
  WriteHeader(out, "IdempotencyKey", "Idempotency-Key",
              "becomes the id where the body gives none");
  out.End();
  out.BeginObject("responses");
  WriteError(out, "Problem", "application/problem+json",
             "`code` is stable; `message` says what to do next",
             {"type", "title", "status", "code", "message", "detail", "field"},
             {"type", "title", "status", "code", "message", "detail"});
  WriteError(out, "CompatibleError", "application/json",
             "as coder's agent tells errors", {"message", "detail"},
             {"message"});
  out.End();
  out.End();
}

}  // namespace

std::string OpenApiJson(absl::Span<const Route> routes,
                        absl::string_view version) {
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  out.Field("openapi", "3.1.0");
  out.BeginObject("info");
  out.Field("title", "Kinescope");
  out.Field("version", version);
  out.Field("description",
            "HTTP over a Unix socket. Every GET answers HEAD too. Requests are "
            "read strictly; replies may grow fields. maxLength of a request's "
            "text is in bytes of UTF-8.");
  out.End();
  out.BeginList("servers");
  out.BeginObject();
  out.Field("url", "http://kinescope");
  out.Field("description", "any host: the socket is what counts");
  out.End();
  out.End();
  out.BeginObject("paths");
  // A path is one member, whatever the order of its methods in the table.
  std::set<absl::string_view> written;
  for (const Route& first : routes) {
    if (!written.insert(first.path).second) continue;
    out.BeginObject(first.path);
    for (const Route& route : routes)
      if (route.path == first.path) WriteOperation(out, route);
    out.End();
  }
  out.End();
  WriteComponents(out, routes);
  out.End();
  return text;
}

std::vector<RouteAnswer> JsonAnswers(absl::string_view schema,
                                     std::vector<std::string> samples,
                                     std::initializer_list<int> statuses) {
  std::vector<RouteAnswer> answers;
  for (const int status : statuses)
    answers.push_back({status, "application/json", schema, samples});
  return answers;
}

void AddOpenApiRoute(std::vector<Route>& routes, absl::string_view version) {
  Route route;
  route.path = kPath;
  route.help = "This table as OpenAPI 3.1";
  route.since = "0.2.0";
  // Its own schema is elsewhere: of it only that it is one.
  route.answers = JsonAnswers("OpenApi", {OpenApiJson({}, version)});
  routes.push_back(std::move(route));
  const auto document =
      std::make_shared<const std::string>(OpenApiJson(routes, version));
  routes.back().handler = [document](const Request&, Reply reply) {
    reply.Json(200, *document);
  };
}

}  // namespace kine
