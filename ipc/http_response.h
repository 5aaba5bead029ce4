// Reads one HTTP/1.1 response as the client of our own daemon: strict and
// bounded, because what it does not know it refuses.
//
// Pure, fed with bytes however they are cut; any thread. Refused with
// DATA_LOSS: any version but HTTP/1.1, interim (1xx) responses, which are never
// asked for, bare line feeds, folded lines, control characters in fields, two
// lengths, transfer codings other than chunked, chunk extensions, trailers, a
// head above 16 KiB. After an error the connection is of no use any more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace kine {

struct HttpResponseHead {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> fields;
  std::optional<uint64_t> content_length;
  bool chunked = false;
  bool keep_alive = true;

  // The first field of that name, in any case, or "".
  absl::string_view Field(absl::string_view name) const;
};

class HttpResponseReader {
 public:
  // Gets the body as it comes; an error ends Feed() with it.
  using Body = absl::FunctionRef<absl::Status(absl::string_view)>;

  // `bodyless`: the request was HEAD.
  explicit HttpResponseReader(bool bodyless) : bodyless_(bodyless) {}

  // How many of the bytes belong to this response: fewer than all only when
  // done() has come true.
  absl::StatusOr<size_t> Feed(absl::string_view bytes, Body body);

  // The connection has ended. OK when the response is whole (a body without
  // length ends so), else DATA_LOSS.
  absl::Status Eof();

  bool head_done() const { return state_ != State::kHead; }
  bool done() const { return state_ == State::kDone; }
  const HttpResponseHead& head() const { return head_; }
  uint64_t body_bytes() const { return body_bytes_; }

 private:
  enum class State {
    kHead,
    kSized,
    kUntilEof,
    kChunkSize,
    kChunk,
    kChunkEnd,
    kLastLine,
    kDone
  };

  absl::Status ParseHead();
  absl::Status ParseField(absl::string_view line);
  absl::Status ParseChunkSize();
  // Appends to line_ until CRLF; true when the line is whole.
  absl::StatusOr<bool> TakeLine(absl::string_view& bytes, size_t max);
  absl::Status TakeBody(absl::string_view& bytes, Body body);

  const bool bodyless_;
  State state_ = State::kHead;
  HttpResponseHead head_;
  std::string line_;  // The head, or a line of the chunk framing, so far.
  uint64_t left_ = 0;
  uint64_t body_bytes_ = 0;
};

}  // namespace kine
