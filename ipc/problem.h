// Problem: an error as the client reads it, application/problem+json with a
// stable `code`; and how an absl::Status becomes one.
//
// Values; any thread. What only HTTP knows of an error (the field at fault, a
// code of its own) travels in the status' payloads, so that the layers between
// pass it on without knowing it.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace kine {

struct Problem {
  int status = 500;     // The HTTP status, 400..599.
  std::string code;     // Stable, for programs: "not_found".
  std::string message;  // For people: what happened, what to do next.
  std::string detail;   // The evidence, where there is more; may be empty.
  std::string field;    // The JSON key or query parameter at fault, or empty.
};

// INVALID_ARGUMENT about one field of the request: a JSON path ("idle.after")
// or a query parameter.
absl::Status FieldError(absl::string_view field, absl::string_view message);

// The field given to FieldError, or "".
std::string FieldOf(const absl::Status& status);

// `error` with the HTTP status and the stable code it shall be answered with,
// where those of its absl code do not say enough: WithProblem(e, 410,
// "expired"). Survives WithContext().
absl::Status WithProblem(absl::Status error, int http_status,
                         absl::string_view code);

// Which HTTP status and code a status becomes:
//   INVALID_ARGUMENT 400 invalid_argument   PERMISSION_DENIED 403 forbidden
//   NOT_FOUND 404 not_found                 ALREADY_EXISTS 409 conflict
//   FAILED_PRECONDITION 409 wrong_state     RESOURCE_EXHAUSTED 429 limit
//   UNIMPLEMENTED 501 not_supported         UNAVAILABLE 503 unavailable
//   DATA_LOSS 500 data_loss                 all else 500 internal
// and an errno of ENOSPC or EDQUOT inside it 507 no_space. A WithProblem() wins
// over all of these.
Problem ProblemOf(const absl::Status& error);

// {"type":"about:blank","title":"Not Found","status":404,"code":...,
// "message":...,"detail":...,"field":...}; `field` only when there is one.
std::string ProblemJson(const Problem& problem);

// "Not Found" for 404; "" for a status that this project never sends.
absl::string_view ReasonPhrase(int http_status);

}  // namespace kine
