// The one file that sees Boost.Beast and its exceptions: a head's grammar by
// Beast, then the policy over what it found.
#include "ipc/http_parser.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <exception>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "daemon/base/limits.h"

namespace kine {
namespace {

namespace http = boost::beast::http;
using Head = http::request_header<>;

constexpr size_t kTokenMax = 128;  // An owner or an idempotency key.

Problem Bad(absl::string_view message) {
  return Problem{400, "bad_request", std::string(message), "", ""};
}

Problem BadVersion() {
  return Problem{505, "version_not_supported",
                 "the version must be HTTP/1.1 or HTTP/1.0", "", ""};
}

absl::string_view View(boost::string_view text) {
  return absl::string_view(text.data(), text.size());
}

// What the policy reads, collected in one pass. A field that means something
// may be there once.
struct Fields {
  std::optional<absl::string_view> host, content_length, transfer_encoding,
      expect, range, if_range, if_none_match, accept, last_event_id, owner,
      coder_chat_id, idempotency_key;
  bool upgrade = false;
  bool close = false;
};

struct KnownField {
  absl::string_view name;
  std::optional<absl::string_view> Fields::*slot;
};

constexpr KnownField kKnownFields[] = {
    {"host", &Fields::host},
    {"content-length", &Fields::content_length},
    {"transfer-encoding", &Fields::transfer_encoding},
    {"expect", &Fields::expect},
    {"range", &Fields::range},
    {"if-range", &Fields::if_range},
    {"if-none-match", &Fields::if_none_match},
    {"accept", &Fields::accept},
    {"last-event-id", &Fields::last_event_id},
    {"kinescope-owner", &Fields::owner},
    {"coder-chat-id", &Fields::coder_chat_id},
    {"idempotency-key", &Fields::idempotency_key}};

std::optional<Problem> Collect(const Head& head, Fields& fields) {
  for (const auto& field : head) {
    const absl::string_view name = View(field.name_string());
    if (absl::EqualsIgnoreCase(name, "upgrade")) fields.upgrade = true;
    if (absl::EqualsIgnoreCase(name, "connection")) {
      for (absl::string_view token : absl::StrSplit(View(field.value()), ',')) {
        token = absl::StripAsciiWhitespace(token);
        if (absl::EqualsIgnoreCase(token, "close")) fields.close = true;
        if (absl::EqualsIgnoreCase(token, "upgrade")) fields.upgrade = true;
      }
    }
    for (const KnownField& known : kKnownFields) {
      if (!absl::EqualsIgnoreCase(name, known.name)) continue;
      if ((fields.*known.slot).has_value())
        return Bad(absl::StrCat("the field ", known.name, " is there twice"));
      fields.*known.slot = absl::StripAsciiWhitespace(View(field.value()));
    }
  }
  return std::nullopt;
}

std::optional<Problem> CheckFraming(const Fields& fields, ParsedHead& out) {
  if (fields.transfer_encoding.has_value()) {
    if (!out.http11) return Bad("Transfer-Encoding needs HTTP/1.1");
    if (fields.content_length.has_value())
      return Bad("both Transfer-Encoding and Content-Length");
    if (!absl::EqualsIgnoreCase(*fields.transfer_encoding, "chunked"))
      return Bad("the only Transfer-Encoding is chunked");
    out.chunked = true;
  }
  if (fields.content_length.has_value()) {
    const absl::string_view text = *fields.content_length;
    uint64_t length = 0;
    if (text.empty() ||
        !std::all_of(text.begin(), text.end(), absl::ascii_isdigit) ||
        !absl::SimpleAtoi(text, &length))
      return Bad("Content-Length must be one decimal number");
    out.content_length = length;
  }
  if (fields.expect.has_value() && out.http11) {
    if (!absl::EqualsIgnoreCase(*fields.expect, "100-continue"))
      return Problem{417, "expectation_failed",
                     "the only expectation is 100-continue", "", ""};
    out.expects_continue = out.chunked || out.content_length > 0;
  }
  return std::nullopt;
}

bool IsToken(absl::string_view text) {
  return !text.empty() && text.size() <= kTokenMax &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return c > 0x20 && c < 0x7f; });
}

std::optional<Problem> CheckNames(const Fields& fields, Request& request) {
  const auto owner =
      fields.owner.has_value() ? fields.owner : fields.coder_chat_id;
  if (fields.owner.has_value() && fields.coder_chat_id.has_value() &&
      *fields.owner != *fields.coder_chat_id)
    return Bad("Kinescope-Owner and Coder-Chat-Id differ");
  for (const auto& token : {owner, fields.idempotency_key}) {
    if (token.has_value() && !IsToken(*token))
      return Bad(absl::StrCat("an owner or Idempotency-Key must be 1 to ",
                              kTokenMax, " characters of visible ASCII"));
  }
  request.owner = std::string(owner.value_or(""));
  request.idempotency_key = std::string(fields.idempotency_key.value_or(""));
  request.range = std::string(fields.range.value_or(""));
  request.if_range = std::string(fields.if_range.value_or(""));
  request.if_none_match = std::string(fields.if_none_match.value_or(""));
  request.accept = std::string(fields.accept.value_or(""));
  request.last_event_id = std::string(fields.last_event_id.value_or(""));
  return std::nullopt;
}

// HTTP/1.1 needs a Host, and 1.0 may have one; which is all the same here.
bool IsHost(absl::string_view host) {
  return std::all_of(host.begin(), host.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           absl::string_view("-._~%:[]").find(c) != absl::string_view::npos;
  });
}

// The request line ends with a version that is well-formed and not ours; any
// other nonsense there is a malformed request.
bool NamesOtherVersion(absl::string_view head) {
  constexpr size_t kSize = sizeof(" HTTP/1.1") - 1;
  const size_t end = head.find('\r');
  if (end == absl::string_view::npos || end < kSize) return false;
  const absl::string_view version = head.substr(end - kSize, kSize);
  return absl::StartsWith(version, " HTTP/") &&
         absl::ascii_isdigit(static_cast<unsigned char>(version[6])) &&
         version[7] == '.' &&
         absl::ascii_isdigit(static_cast<unsigned char>(version[8])) &&
         version != " HTTP/1.1" && version != " HTTP/1.0";
}

std::variant<ParsedHead, Problem> ApplyPolicy(const Head& head) {
  ParsedHead out;
  if (head.version() != 11 && head.version() != 10) return BadVersion();
  out.http11 = head.version() == 11;
  const auto method = ParseMethod(View(head.method_string()));
  if (!method.has_value())
    return Problem{501, "method_not_implemented",
                   "the method must be GET, HEAD, POST, PUT or DELETE", "", ""};
  out.request.method = *method;
  const absl::Status target = ParseTarget(View(head.target()), out.request);
  if (!target.ok()) return ProblemOf(target);
  Fields fields;
  if (auto problem = Collect(head, fields)) return *problem;
  if (fields.upgrade) return Bad("there is nothing to upgrade to");
  if (out.http11 && !fields.host.has_value())
    return Bad("HTTP/1.1 needs a Host field");
  if (fields.host.has_value() && !IsHost(*fields.host))
    return Bad("the Host field is not a host");
  out.host = std::string(fields.host.value_or(""));
  if (auto problem = CheckFraming(fields, out)) return *problem;
  if (auto problem = CheckNames(fields, out.request)) return *problem;
  out.keep_alive = out.http11 && !fields.close;
  return out;
}

}  // namespace

std::variant<ParsedHead, Problem> ParseHead(absl::string_view head) {
  try {
    http::request_parser<http::empty_body> parser;
    parser.header_limit(limits::kHeadBytesMax + 1);
    parser.body_limit(
        std::numeric_limits<uint64_t>::max());  // The policy has its own.
    boost::beast::error_code error;
    parser.put(boost::asio::const_buffer(head.data(), head.size()), error);
    if (error == http::error::bad_version && NamesOtherVersion(head))
      return BadVersion();
    if (error && error != http::error::need_more)
      return Bad(absl::StrCat("malformed request: ", error.message()));
    if (!parser.is_header_done()) return Bad("malformed request: cut short");
    return ApplyPolicy(parser.get().base());
  } catch (const std::exception& e) {
    return Bad(absl::StrCat("malformed request: ", e.what()));
  }
}

}  // namespace kine
