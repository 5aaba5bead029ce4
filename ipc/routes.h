// Request: one checked HTTP request. Route, RouteTable: the one table that says
// what exists; dispatch, help texts and the OpenAPI document come from it.
//
// Values, then const: any thread; handlers run on the server's loop.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "ipc/reply.h"

namespace kine {

enum class Method { kGet, kHead, kPost, kPut, kDelete };
absl::string_view MethodName(Method method);
std::optional<Method> ParseMethod(absl::string_view name);

// Who is at the other end of a connection, as the kernel tells at accept.
struct Peer {
  uid_t uid = 0;
  gid_t gid = 0;
  pid_t pid = 0;
  std::vector<gid_t> groups;
};

// Everything is decoded and checked: the path has no dot segments, no query
// parameter comes twice or is unknown to the route, `owner` is a token. An
// empty header field means that it was not sent.
struct Request {
  Method method = Method::kGet;
  std::string path;
  std::vector<NameValue> params;  // The {name}s of the route's path.
  std::vector<NameValue> query;
  std::string range, if_range, if_none_match, accept, last_event_id;
  std::string owner;  // Kinescope-Owner, or its older name Coder-Chat-Id.
  std::string idempotency_key;
  std::string body;
  Peer peer;

  // The value of a {name}; it must be in the route's path.
  absl::string_view Param(absl::string_view name) const;
  std::optional<absl::string_view> Query(absl::string_view name) const;
};

// wait=WHAT&timeout_ms=N of a request; no `what` means no waiting.
struct Wait {
  std::string what;
  absl::Duration timeout;
};
// `what` must be one of `allowed`; timeout_ms defaults to and is at most
// limits::kWaitMaxMs. The error names the parameter.
absl::StatusOr<Wait> ParseWait(const Request& request,
                               absl::Span<const absl::string_view> allowed);

// A key is a client's choice of an id by another name: becomes `id` where the
// request's body gave none. `whose` ("recording's") is for the error.
absl::Status TakeIdempotencyKey(const Request& request, absl::string_view whose,
                                std::string& id);

// True when `accept` (an Accept field) names `media_type` itself, q=0 aside.
bool Accepts(absl::string_view accept, absl::string_view media_type);

class JsonObject;

struct QueryParameter {
  absl::string_view name;
  absl::string_view help;
  // For the document: one of `values`; else, when max is not 0, a whole number
  // from min to max; else any text.
  std::vector<absl::string_view> values = {};
  int64_t min = 0;
  int64_t max = 0;
  bool required = false;
};

// How a route answers when all went well.
struct RouteAnswer {
  int status = 200;
  absl::string_view media_type;  // Empty: no body.
  // Of JSON: the name of its schema in the document, and bodies by the one who
  // writes them, between them with every member that there is. A member
  // "<name>" stands for those of any name.
  absl::string_view schema = {};
  std::vector<std::string> samples = {};
};
// The same JSON with each status.
std::vector<RouteAnswer> JsonAnswers(absl::string_view schema,
                                     std::vector<std::string> samples,
                                     std::initializer_list<int> statuses = {
                                         200});

struct Route {
  using Handler = absl::AnyInvocable<void(Request request, Reply reply) const>;
  // kNone: a request with a body is refused. kOctets: any bytes.
  enum class Body { kNone, kJson, kOctets };

  Method method = Method::kGet;  // A GET answers HEAD too.
  absl::string_view path;        // "/v1/recordings/{id}/stop"
  absl::string_view help;        // One line.
  absl::string_view since;       // Version of the program: "0.1.0".
  std::vector<QueryParameter> query;
  Body body = Body::kNone;
  bool reserved = false;  // Served also by the last free connections.
  Handler handler;
  // For the document. `fields` is what reads the JSON body, over a value that
  // is thrown away; `example` is a body that does something.
  void (*fields)(JsonObject&) = nullptr;
  absl::string_view example;
  std::vector<RouteAnswer> answers;
  std::vector<int> problems;  // Beyond what method, path and body say.

  bool TakesQuery(absl::string_view name) const;
  // Of its request's body.
  size_t body_bytes_max() const;
};

// A route of an object that outlives the table; the rest is the caller's.
// `member` takes (const Request&, Reply).
template <typename Object, typename Member>
Route RouteTo(Object& object, Member member, Method method,
              absl::string_view path, absl::string_view help,
              absl::string_view since) {
  Route route;
  route.method = method;
  route.path = path;
  route.help = help;
  route.since = since;
  route.handler = [&object, member](Request request, Reply reply) {
    (object.*member)(request, std::move(reply));
  };
  return route;
}

// A {name} matches one whole segment that is not empty; a literal segment wins
// over a {name}. Immutable.
class RouteTable {
 public:
  // Two routes that cannot be told apart are a bug (KINE_CHECK).
  explicit RouteTable(std::vector<Route> routes);

  // The route and the request's `params`, or 404, or 405 with `allow`.
  struct Match {
    const Route* route = nullptr;
    std::vector<NameValue> params;
    std::string allow;  // "GET, HEAD" when the path exists, else empty.
  };
  Match Find(Method method, absl::string_view path) const;

  const std::vector<Route>& routes() const { return routes_; }

 private:
  std::vector<Route> routes_;
  std::vector<std::vector<std::string>> segments_;  // Of each route's path.
};

// What those texts of a JsonOut have in common, as JSON Schema: types, members,
// and which of them none does without.
std::string SchemaOfSamples(absl::Span<const std::string> samples);

// The document of `routes`, OpenAPI 3.1 as JSON: nothing in it is written
// twice, fields and limits of bodies are asked of the binders that read them,
// those of replies of the ones that write them.
std::string OpenApiJson(absl::Span<const Route> routes,
                        absl::string_view version);
// Adds GET /v1/openapi.json, which answers the document of all `routes` and
// itself.
void AddOpenApiRoute(std::vector<Route>& routes, absl::string_view version);

}  // namespace kine
