#include "ipc/routes.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "daemon/base/check.h"
#include "daemon/base/limits/output.h"
#include "ipc/problem.h"
#include "ipc/recording_request.h"

namespace kine {
namespace {

constexpr std::pair<absl::string_view, Method> kMethods[] = {
    {"GET", Method::kGet},
    {"HEAD", Method::kHead},
    {"POST", Method::kPost},
    {"PUT", Method::kPut},
    {"DELETE", Method::kDelete}};

const NameValue* FindName(const std::vector<NameValue>& list,
                          absl::string_view name) {
  for (const NameValue& item : list)
    if (item.first == name) return &item;
  return nullptr;
}

bool IsName(absl::string_view segment) {
  return segment.size() > 2 && segment.front() == '{' && segment.back() == '}';
}

// Both can match one path with equal right.
bool LookTheSame(const std::vector<std::string>& a,
                 const std::vector<std::string>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (IsName(a[i]) != IsName(b[i])) return false;
    if (!IsName(a[i]) && a[i] != b[i]) return false;
  }
  return true;
}

bool Matches(const std::vector<std::string>& pattern,
             const std::vector<absl::string_view>& path) {
  if (pattern.size() != path.size()) return false;
  for (size_t i = 0; i < path.size(); ++i) {
    if (IsName(pattern[i]) ? path[i].empty() : path[i] != pattern[i])
      return false;
  }
  return true;
}

// The literal segment wins at the first place where two matches differ.
bool MoreExact(const std::vector<std::string>& a,
               const std::vector<std::string>& b) {
  for (size_t i = 0; i < a.size(); ++i)
    if (IsName(a[i]) != IsName(b[i])) return IsName(b[i]);
  return false;
}

}  // namespace

absl::string_view MethodName(Method method) {
  for (const auto& [name, value] : kMethods)
    if (value == method) return name;
  return "";
}

std::optional<Method> ParseMethod(absl::string_view name) {
  for (const auto& [known, value] : kMethods)
    if (known == name) return value;
  return std::nullopt;
}

absl::string_view Request::Param(absl::string_view name) const {
  const NameValue* found = FindName(params, name);
  KINE_CHECK(found != nullptr);  // The route has no {name} of this name.
  return found->second;
}

std::optional<absl::string_view> Request::Query(absl::string_view name) const {
  const NameValue* found = FindName(query, name);
  if (found == nullptr) return std::nullopt;
  return found->second;
}

absl::Status TakeIdempotencyKey(const Request& request, absl::string_view whose,
                                std::string& id) {
  if (!id.empty() || request.idempotency_key.empty()) return absl::OkStatus();
  if (!IsRecordingId(request.idempotency_key))
    return FieldError("Idempotency-Key",
                      absl::StrCat("becomes the ", whose,
                                   " id: 1 to 64 of letters, digits, '.', '_' "
                                   "and '-', a letter or digit first"));
  id = request.idempotency_key;
  return absl::OkStatus();
}

absl::StatusOr<Wait> ParseWait(const Request& request,
                               absl::Span<const absl::string_view> allowed) {
  Wait wait;
  int64_t millis = limits::kWaitMaxMs;
  if (const auto text = request.Query("timeout_ms")) {
    if (!absl::SimpleAtoi(*text, &millis) || millis < 0 ||
        millis > limits::kWaitMaxMs) {
      return FieldError("timeout_ms",
                        absl::StrCat("must be a whole number from 0 to ",
                                     limits::kWaitMaxMs));
    }
  }
  wait.timeout = absl::Milliseconds(millis);
  const auto what = request.Query("wait");
  if (!what.has_value()) return wait;
  for (const absl::string_view known : allowed)
    if (*what == known) wait.what = std::string(known);
  if (wait.what.empty()) {
    return FieldError(
        "wait", absl::StrCat("must be one of ", absl::StrJoin(allowed, ", ")));
  }
  return wait;
}

bool Accepts(absl::string_view accept, absl::string_view media_type) {
  for (absl::string_view range : absl::StrSplit(accept, ',')) {
    const std::vector<absl::string_view> parts = absl::StrSplit(range, ';');
    if (!absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(parts[0]),
                                media_type))
      continue;
    double quality = 1;
    for (size_t i = 1; i < parts.size(); ++i) {
      absl::string_view parameter = absl::StripAsciiWhitespace(parts[i]);
      if (!absl::ConsumePrefix(&parameter, "q=")) continue;
      if (!absl::SimpleAtod(parameter, &quality)) quality = 0;
    }
    if (quality > 0) return true;
  }
  return false;
}

bool Route::TakesQuery(absl::string_view name) const {
  for (const QueryParameter& known : query)
    if (known.name == name) return true;
  return false;
}

size_t Route::body_bytes_max() const {
  return body == Body::kOctets ? limits::kOctetsBytesMax
                               : limits::kBodyBytesMax;
}

RouteTable::RouteTable(std::vector<Route> routes) : routes_(std::move(routes)) {
  for (const Route& route : routes_) {
    KINE_CHECK(absl::StartsWith(route.path, "/"));
    KINE_CHECK(route.method != Method::kHead);  // Every GET answers HEAD.
    segments_.push_back(absl::StrSplit(route.path, '/'));
    const std::vector<std::string>& added = segments_.back();
    for (size_t i = 0; i + 1 < segments_.size(); ++i) {
      KINE_CHECK(routes_[i].method != route.method ||
                 !LookTheSame(segments_[i], added));
    }
  }
}

RouteTable::Match RouteTable::Find(Method method,
                                   absl::string_view path) const {
  if (method == Method::kHead) method = Method::kGet;
  const std::vector<absl::string_view> segments = absl::StrSplit(path, '/');
  const size_t none = routes_.size();
  size_t best = none;
  std::vector<absl::string_view> allowed;
  for (size_t i = 0; i < routes_.size(); ++i) {
    if (!Matches(segments_[i], segments)) continue;
    allowed.push_back(MethodName(routes_[i].method));
    if (routes_[i].method == Method::kGet) allowed.push_back("HEAD");
    if (routes_[i].method == method &&
        (best == none || MoreExact(segments_[i], segments_[best])))
      best = i;
  }
  Match match;
  if (best == none) {
    match.allow = absl::StrJoin(allowed, ", ");
    return match;
  }
  match.route = &routes_[best];
  const std::vector<std::string>& pattern = segments_[best];
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (IsName(pattern[i]))
      match.params.emplace_back(pattern[i].substr(1, pattern[i].size() - 2),
                                std::string(segments[i]));
  }
  return match;
}

}  // namespace kine
