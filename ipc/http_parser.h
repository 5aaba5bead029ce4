// HTTP's text into values: heads, bodies, whole requests, ranges. Pure: no I/O,
// no clock, the same verdict however the bytes were cut.
//
// One thread at a time. Strict on purpose: whatever two parsers could read in
// two ways is refused, and the connection must be closed after a refusal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "daemon/base/limits.h"
#include "ipc/problem.h"
#include "ipc/routes.h"

namespace kine {

// Looks at a head byte by byte before any parser does: complete to CRLFCRLF
// within kHeadBytesMax, only visible ASCII in the request line, no bare CR or
// LF, no folded line, no control character, a token and a colon in front of
// every value, at most kHeadFieldsMax fields.
class HeadScan {
 public:
  enum class State { kMore, kComplete, kRefused };

  // `buffer` starts at the head's first byte and has grown since the last call.
  State Scan(absl::string_view buffer);
  // Including the CRLFCRLF; after kComplete.
  size_t size() const { return at_; }
  const Problem& problem() const { return problem_; }

 private:
  enum class Part { kLineStart, kRequestLine, kName, kValue, kLf };
  bool Byte(unsigned char byte);
  bool LineStart(unsigned char byte);
  bool Refuse(int status, absl::string_view code, absl::string_view message);

  Part part_ = Part::kRequestLine;
  size_t at_ = 0;
  int fields_ = 0;
  bool last_line_ = false;  // The CR seen belongs to the empty line.
  Problem problem_;
};

// Decodes `Transfer-Encoding: chunked`: no extensions, no trailers, at most
// eight hexadecimal digits a size, at most `bytes_max` in all.
class ChunkedBody {
 public:
  enum class State { kMore, kComplete, kRefused };

  explicit ChunkedBody(size_t bytes_max = limits::kBodyBytesMax)
      : bytes_max_(bytes_max) {}

  // Appends what `bytes` holds of the body to `body` and sets `used` to the
  // bytes taken: all of them with kMore.
  State Feed(absl::string_view bytes, std::string& body, size_t& used);
  const Problem& problem() const { return problem_; }

 private:
  enum class Part { kSize, kSizeLf, kData, kDataCr, kDataLf, kEndCr, kEndLf };
  State Byte(unsigned char byte, size_t body_size);
  State Refuse(absl::string_view message);

  size_t bytes_max_;
  Part part_ = Part::kSize;
  int digits_ = 0;
  size_t left_ = 0;  // Of this chunk; while kSize, its size so far.
  Problem problem_;
};

// What a head says. `request` has no body, peer or params yet.
struct ParsedHead {
  Request request;
  std::string host;  // The Host field.
  bool http11 = true;
  bool keep_alive = true;
  bool expects_continue = false;
  bool chunked = false;
  size_t content_length = 0;
};

// Parses a head that HeadScan found complete (Boost.Beast) and applies the
// policy: methods, version, one Host, origin-form target, framing, no Upgrade,
// no duplicate of a field that means something.
std::variant<ParsedHead, Problem> ParseHead(absl::string_view head);

// "/v1/a%2Db?x=1": decoded once, without dot segments, encoded slashes and
// control characters; no parameter twice.
absl::Status ParseTarget(absl::string_view target, Request& request);

// One connection's requests.
class RequestParser {
 public:
  // How long the body of a request with this head may be.
  using BodyLimit = absl::AnyInvocable<size_t(const Request&) const>;
  explicit RequestParser(BodyLimit body_limit = nullptr)
      : body_limit_(std::move(body_limit)) {}

  enum class Verdict {
    kMore,      // Append() more.
    kContinue,  // The client waits for "100 Continue"; once, then go on.
    kRequest,   // Take() it, then go on with what is left.
    kRefused,   // Answer problem() and close. Stays so.
  };

  void Append(absl::string_view bytes) {
    in_.append(bytes.data(), bytes.size());
  }
  Verdict Next();
  ParsedHead Take();
  const Problem& problem() const { return problem_; }

  // Which of the two deadlines runs: a part of a head is here, or of a body.
  bool in_head() const { return !head_.has_value() && !in_.empty(); }
  bool in_body() const { return head_.has_value(); }

 private:
  Verdict Refuse(Problem problem);
  Verdict NextHead();
  Verdict NextBody();

  BodyLimit body_limit_;  // Null: limits::kBodyBytesMax.
  std::string in_;
  HeadScan scan_;
  std::optional<ParsedHead> head_;
  ChunkedBody chunked_;
  bool refused_ = false;
  Problem problem_;
};

// Which part of a file of `size` bytes a request asks for (RFC 9110, 13 and
// 14): a single range incl. suffixes; If-Range with a strong tag; several
// ranges, malformed ones and HEAD get the whole.
struct FilePart {
  int status = 200;  // 200, 206, 304 or 416.
  uint64_t offset = 0;
  uint64_t size = 0;
};
FilePart ResolveFilePart(const Request& request, absl::string_view etag,
                         uint64_t size);

}  // namespace kine
