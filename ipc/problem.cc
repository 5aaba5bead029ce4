#include "ipc/problem.h"

#include <cerrno>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/check.h"
#include "daemon/base/status.h"
#include "ipc/json_out.h"

namespace kine {
namespace {

constexpr char kFieldPayload[] = "kinescope/field";
constexpr char kProblemPayload[] = "kinescope/problem";  // "410 expired"

struct Answer {
  int status;
  const char* code;
};

Answer AnswerOf(const absl::Status& error) {
  const int error_number = ErrnoOf(error);
  if (error_number == ENOSPC || error_number == EDQUOT)
    return {507, "no_space"};
  switch (error.code()) {
    case absl::StatusCode::kInvalidArgument:
      return {400, "invalid_argument"};
    case absl::StatusCode::kPermissionDenied:
      return {403, "forbidden"};
    case absl::StatusCode::kNotFound:
      return {404, "not_found"};
    case absl::StatusCode::kAlreadyExists:
      return {409, "conflict"};
    case absl::StatusCode::kFailedPrecondition:
      return {409, "wrong_state"};
    case absl::StatusCode::kResourceExhausted:
      return {429, "limit"};
    case absl::StatusCode::kUnimplemented:
      return {501, "not_supported"};
    case absl::StatusCode::kUnavailable:
      return {503, "unavailable"};
    case absl::StatusCode::kDataLoss:
      return {500, "data_loss"};
    default:
      return {500, "internal"};
  }
}

std::string PayloadOf(const absl::Status& status, const char* url) {
  const auto payload = status.GetPayload(url);
  return payload.has_value() ? std::string(*payload) : std::string();
}

}  // namespace

absl::Status FieldError(absl::string_view field, absl::string_view message) {
  absl::Status error =
      absl::InvalidArgumentError(absl::StrCat(field, ": ", message));
  error.SetPayload(kFieldPayload, absl::Cord(field));
  return error;
}

std::string FieldOf(const absl::Status& status) {
  return PayloadOf(status, kFieldPayload);
}

absl::Status WithProblem(absl::Status error, int http_status,
                         absl::string_view code) {
  KINE_CHECK(http_status >= 400 && http_status < 600);
  error.SetPayload(kProblemPayload,
                   absl::Cord(absl::StrCat(http_status, " ", code)));
  return error;
}

Problem ProblemOf(const absl::Status& error) {
  KINE_CHECK(!error.ok());
  const Answer answer = AnswerOf(error);
  Problem problem{answer.status, answer.code, std::string(error.message()), "",
                  FieldOf(error)};
  const std::string own = PayloadOf(error, kProblemPayload);
  if (own.empty()) return problem;
  const size_t space = own.find(' ');
  KINE_CHECK(absl::SimpleAtoi(own.substr(0, space), &problem.status));
  problem.code = own.substr(space + 1);
  return problem;
}

std::string ProblemJson(const Problem& problem) {
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  out.Field("type", "about:blank");
  out.Field("title", ReasonPhrase(problem.status));
  out.Field("status", problem.status);
  out.Field("code", problem.code);
  out.Field("message", problem.message);
  out.Field("detail", problem.detail);
  out.FieldIfAny("field", problem.field);
  out.End();
  return text;
}

absl::string_view ReasonPhrase(int http_status) {
  struct Phrase {
    int status;
    const char* text;
  };
  static constexpr Phrase kPhrases[] = {
      {200, "OK"},
      {201, "Created"},
      {202, "Accepted"},
      {204, "No Content"},
      {206, "Partial Content"},
      {304, "Not Modified"},
      {400, "Bad Request"},
      {403, "Forbidden"},
      {404, "Not Found"},
      {405, "Method Not Allowed"},
      {408, "Request Timeout"},
      {409, "Conflict"},
      {410, "Gone"},
      {413, "Content Too Large"},
      {414, "URI Too Long"},
      {416, "Range Not Satisfiable"},
      {417, "Expectation Failed"},
      {422, "Unprocessable Content"},
      {429, "Too Many Requests"},
      {431, "Request Header Fields Too Large"},
      {500, "Internal Server Error"},
      {501, "Not Implemented"},
      {503, "Service Unavailable"},
      {505, "HTTP Version Not Supported"},
      {507, "Insufficient Storage"}};
  for (const Phrase& phrase : kPhrases)
    if (phrase.status == http_status) return phrase.text;
  return "";
}

}  // namespace kine
