// Request targets: decoded once, and only what has one meaning.
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "daemon/base/limits.h"
#include "ipc/http_parser.h"

namespace kine {
namespace {

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Bytes that RFC 3986 allows nowhere in a target, or that end it.
bool IsForbidden(char c) {
  return c <= 0x20 || c > 0x7e ||
         absl::string_view("#\"<>\\").find(c) != absl::string_view::npos;
}

absl::StatusOr<std::string> Decode(absl::string_view text, bool is_query) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(is_query && text[i] == '+' ? ' ' : text[i]);
      continue;
    }
    const int high = i + 1 < text.size() ? HexValue(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? HexValue(text[i + 2]) : -1;
    if (high < 0 || low < 0)
      return absl::InvalidArgumentError(
          "a '%' in the request target is not followed by two hexadecimal "
          "digits");
    const int byte = high * 16 + low;
    if (byte < 0x20 || byte == 0x7f)
      return absl::InvalidArgumentError(
          "the request target encodes a control character");
    if (!is_query && (byte == '/' || byte > 0x7e))
      return absl::InvalidArgumentError(
          "the path encodes a slash or a byte that is not ASCII");
    out.push_back(static_cast<char>(byte));
    i += 2;
  }
  return out;
}

absl::Status ParseQuery(absl::string_view text, Request& request) {
  for (const absl::string_view pair : absl::StrSplit(text, '&')) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(pair, absl::MaxSplits('=', 1));
    absl::StatusOr<std::string> name = Decode(parts.first, true);
    if (!name.ok()) return name.status();
    absl::StatusOr<std::string> value = Decode(parts.second, true);
    if (!value.ok()) return value.status();
    if (name->empty())
      return absl::InvalidArgumentError("a query parameter without a name");
    if (request.Query(*name).has_value())
      return FieldError(*name, "the query parameter is there twice");
    request.query.emplace_back(*std::move(name), *std::move(value));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ParseTarget(absl::string_view target, Request& request) {
  if (target.size() > limits::kTargetBytesMax) {
    return WithProblem(absl::InvalidArgumentError(
                           absl::StrCat("the request target is longer than ",
                                        limits::kTargetBytesMax, " bytes")),
                       414, "target_too_long");
  }
  if (target.empty() || target.front() != '/')
    return absl::InvalidArgumentError(
        "the request target must be a path that begins with '/'");
  for (const char c : target)
    if (IsForbidden(c))
      return absl::InvalidArgumentError(
          "the request target has a character that must be percent-encoded");
  const size_t question = target.find('?');
  absl::StatusOr<std::string> path = Decode(target.substr(0, question), false);
  if (!path.ok()) return path.status();
  for (const absl::string_view segment : absl::StrSplit(*path, '/'))
    if (segment == "." || segment == "..")
      return absl::InvalidArgumentError("the path has a dot segment");
  request.path = *std::move(path);
  if (question == absl::string_view::npos) return absl::OkStatus();
  const absl::string_view query = target.substr(question + 1);
  return query.empty() ? absl::OkStatus() : ParseQuery(query, request);
}

}  // namespace kine
