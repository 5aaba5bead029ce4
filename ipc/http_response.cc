// HttpResponseReader of client.h.

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/limits.h"
#include "daemon/base/log.h"
#include "daemon/base/status.h"
#include "ipc/client.h"

namespace kine {
namespace {

constexpr size_t kChunkLineMax = 18;  // 16 hexadecimal digits and CRLF.

absl::Status Bad(absl::string_view what) {
  return absl::DataLossError(
      absl::StrCat("the reply is no HTTP response of this service: ", what));
}

bool IsToken(absl::string_view text) {
  constexpr absl::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return absl::ascii_isalnum(static_cast<uint8_t>(c)) ||
           kMarks.find(c) != absl::string_view::npos;
  });
}

bool IsFieldText(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return c == '\t' || !absl::ascii_iscntrl(static_cast<uint8_t>(c));
  });
}

bool AllDigits(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isdigit(static_cast<uint8_t>(c));
  });
}

}  // namespace

absl::string_view HttpResponseHead::Field(absl::string_view name) const {
  for (const auto& [key, value] : fields) {
    if (absl::EqualsIgnoreCase(key, name)) return value;
  }
  return "";
}

absl::StatusOr<size_t> HttpResponseReader::Feed(absl::string_view bytes,
                                                Body body) {
  const size_t given = bytes.size();
  while (!bytes.empty() && !done()) {
    switch (state_) {
      case State::kHead: {
        KINE_ASSIGN_OR_RETURN(const bool whole,
                              TakeLine(bytes, limits::kHeadBytesMax));
        // The head ends with an empty line; until then lines are collected.
        if (whole && absl::EndsWith(line_, "\r\n\r\n"))
          KINE_RETURN_IF_ERROR(ParseHead());
        break;
      }
      case State::kChunkSize:
      case State::kChunkEnd:
      case State::kLastLine: {
        KINE_ASSIGN_OR_RETURN(const bool whole, TakeLine(bytes, kChunkLineMax));
        if (whole) KINE_RETURN_IF_ERROR(ParseChunkSize());
        break;
      }
      case State::kSized:
      case State::kUntilEof:
      case State::kChunk:
        KINE_RETURN_IF_ERROR(TakeBody(bytes, body));
        break;
      case State::kDone:
        break;
    }
  }
  return given - bytes.size();
}

absl::Status HttpResponseReader::Eof() {
  if (state_ == State::kUntilEof) state_ = State::kDone;
  if (done()) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(
      "the connection ended in the middle of the reply, after ",
      head_done() ? absl::StrCat(body_bytes_, " bytes of its body")
                  : absl::StrCat(line_.size(), " bytes of its head")));
}

absl::StatusOr<bool> HttpResponseReader::TakeLine(absl::string_view& bytes,
                                                  size_t max) {
  const size_t feed = bytes.find('\n');
  const size_t take = feed == absl::string_view::npos ? bytes.size() : feed + 1;
  if (line_.size() + take > max)
    return Bad(absl::StrCat("more than ", max, " bytes of head or chunk size"));
  line_.append(bytes.data(), take);
  bytes.remove_prefix(take);
  if (feed == absl::string_view::npos) return false;
  if (!absl::EndsWith(line_, "\r\n")) return Bad("a line feed stands alone");
  return true;
}

absl::Status HttpResponseReader::TakeBody(absl::string_view& bytes, Body body) {
  const size_t take =
      state_ == State::kUntilEof
          ? bytes.size()
          : static_cast<size_t>(std::min<uint64_t>(left_, bytes.size()));
  const absl::string_view piece = bytes.substr(0, take);
  bytes.remove_prefix(take);
  body_bytes_ += take;
  left_ -= state_ == State::kUntilEof ? 0 : take;
  if (left_ == 0 && state_ == State::kSized) state_ = State::kDone;
  if (left_ == 0 && state_ == State::kChunk) state_ = State::kChunkEnd;
  return body(piece);
}

absl::Status HttpResponseReader::ParseChunkSize() {
  const std::string line = line_.substr(0, line_.size() - 2);
  line_.clear();
  if (state_ != State::kChunkSize) {
    if (!line.empty()) return Bad("a chunk is longer than its size says");
    state_ = state_ == State::kChunkEnd ? State::kChunkSize : State::kDone;
    return absl::OkStatus();
  }
  if (line.empty() || !std::all_of(line.begin(), line.end(), [](char c) {
        return absl::ascii_isxdigit(static_cast<uint8_t>(c));
      }))
    return Bad(absl::StrCat("the chunk size ", Quoted(line)));
  left_ = 0;
  for (const char c : line) {
    const char low = absl::ascii_tolower(static_cast<uint8_t>(c));
    left_ = left_ * 16 +
            static_cast<uint64_t>(low <= '9' ? low - '0' : low - 'a' + 10);
  }
  state_ = left_ == 0 ? State::kLastLine : State::kChunk;
  return absl::OkStatus();
}

absl::Status HttpResponseReader::ParseField(absl::string_view line) {
  const size_t colon = line.find(':');
  if (colon == absl::string_view::npos || !IsToken(line.substr(0, colon)) ||
      !IsFieldText(line))
    return Bad(absl::StrCat("the field ", Quoted(line)));
  const absl::string_view name = line.substr(0, colon);
  const absl::string_view value =
      absl::StripAsciiWhitespace(line.substr(colon + 1));
  if (head_.fields.size() >= size_t{limits::kHeadFieldsMax})
    return Bad("too many fields");
  if (absl::EqualsIgnoreCase(name, "content-length")) {
    uint64_t length = 0;
    if (head_.content_length.has_value() || !AllDigits(value) ||
        !absl::SimpleAtoi(value, &length))
      return Bad("its length is no number, or given twice");
    head_.content_length = length;
  } else if (absl::EqualsIgnoreCase(name, "transfer-encoding")) {
    if (head_.chunked || !absl::EqualsIgnoreCase(value, "chunked"))
      return Bad(absl::StrCat("the transfer coding ", Quoted(value)));
    head_.chunked = true;
  } else if (absl::EqualsIgnoreCase(name, "connection")) {
    if (absl::EqualsIgnoreCase(value, "close")) head_.keep_alive = false;
  }
  head_.fields.emplace_back(std::string(name), std::string(value));
  return absl::OkStatus();
}

absl::Status HttpResponseReader::ParseHead() {
  absl::string_view rest = line_;
  rest.remove_suffix(2);
  const size_t end = rest.find("\r\n");
  const absl::string_view first = rest.substr(0, end);
  // "HTTP/1.1 200 OK"; the phrase may be empty, its blank may not.
  if (first.size() < 13 || !absl::StartsWith(first, "HTTP/1.1 ") ||
      !AllDigits(first.substr(9, 3)) || first[12] != ' ' ||
      !IsFieldText(first) ||
      !absl::SimpleAtoi(first.substr(9, 3), &head_.status))
    return Bad(absl::StrCat("it begins with ", Quoted(first)));
  if (head_.status < 200 || head_.status > 599)
    return Bad(absl::StrCat("the status ", head_.status));
  rest.remove_prefix(end + 2);
  while (!rest.empty()) {
    const size_t line_end = rest.find("\r\n");
    KINE_RETURN_IF_ERROR(ParseField(rest.substr(0, line_end)));
    rest.remove_prefix(line_end + 2);
  }
  if (head_.chunked && head_.content_length.has_value())
    return Bad("it has both a length and chunks");
  line_.clear();
  left_ = head_.content_length.value_or(0);
  if (bodyless_ || head_.status == 204 || head_.status == 304) {
    state_ = State::kDone;
  } else if (head_.chunked) {
    state_ = State::kChunkSize;
  } else if (!head_.content_length.has_value()) {
    state_ = State::kUntilEof;
    head_.keep_alive = false;
  } else {
    state_ = left_ == 0 ? State::kDone : State::kSized;
  }
  return absl::OkStatus();
}

}  // namespace kine
