// Bodies, and the requests of one connection one after the other.
#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/check.h"
#include "daemon/base/limits.h"
#include "ipc/http_parser.h"

namespace kine {
namespace {

constexpr int kChunkDigitsMax = 8;

Problem BodyTooLarge(size_t bytes_max) {
  return Problem{
      413, "body_too_large",
      absl::StrCat("the request's body is longer than ", bytes_max, " bytes"),
      "", ""};
}

int HexDigit(unsigned char byte) {
  if (byte >= '0' && byte <= '9') return byte - '0';
  byte |= 0x20;
  if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10;
  return -1;
}

}  // namespace

ChunkedBody::State ChunkedBody::Feed(absl::string_view bytes, std::string& body,
                                     size_t& used) {
  used = 0;
  while (used < bytes.size()) {
    if (part_ == Part::kData) {
      const size_t take = std::min(left_, bytes.size() - used);
      body.append(bytes.data() + used, take);
      used += take;
      left_ -= take;
      if (left_ == 0) part_ = Part::kDataCr;
      continue;
    }
    const State state =
        Byte(static_cast<unsigned char>(bytes[used]), body.size());
    if (state == State::kRefused) return state;
    ++used;
    if (state == State::kComplete) return state;
  }
  return State::kMore;
}

ChunkedBody::State ChunkedBody::Byte(unsigned char byte, size_t body_size) {
  switch (part_) {
    case Part::kSize: {
      const int digit = HexDigit(byte);
      if (digit >= 0 && digits_ < kChunkDigitsMax) {
        ++digits_;
        left_ = left_ * 16 + static_cast<size_t>(digit);
        return State::kMore;
      }
      if (byte == '\r' && digits_ > 0) {
        part_ = Part::kSizeLf;
        return State::kMore;
      }
      return Refuse(
          "a chunk's size must be one to eight hexadecimal digits and CRLF, "
          "without an extension");
    }
    case Part::kSizeLf:
      if (byte != '\n') return Refuse("a CR without its LF after a chunk size");
      if (body_size + left_ > bytes_max_) {
        problem_ = BodyTooLarge(bytes_max_);
        return State::kRefused;
      }
      part_ = left_ == 0 ? Part::kEndCr : Part::kData;
      digits_ = 0;
      return State::kMore;
    case Part::kData:
      break;  // Feed() takes these.
    case Part::kDataCr:
    case Part::kDataLf:
      if (byte != (part_ == Part::kDataCr ? uint8_t{'\r'} : uint8_t{'\n'}))
        return Refuse("a chunk does not end with CRLF");
      part_ = part_ == Part::kDataCr ? Part::kDataLf : Part::kSize;
      return State::kMore;
    case Part::kEndCr:
      if (byte != '\r') return Refuse("trailers are not accepted");
      part_ = Part::kEndLf;
      return State::kMore;
    case Part::kEndLf:
      if (byte != '\n') return Refuse("the last chunk does not end with CRLF");
      return State::kComplete;
  }
  KINE_CHECK(false);
  return State::kRefused;
}

ChunkedBody::State ChunkedBody::Refuse(absl::string_view message) {
  problem_ = Problem{400, "bad_request", std::string(message), "", ""};
  return State::kRefused;
}

RequestParser::Verdict RequestParser::Next() {
  if (refused_) return Verdict::kRefused;
  return head_.has_value() ? NextBody() : NextHead();
}

RequestParser::Verdict RequestParser::NextHead() {
  switch (scan_.Scan(in_)) {
    case HeadScan::State::kMore:
      return Verdict::kMore;
    case HeadScan::State::kRefused:
      return Refuse(scan_.problem());
    case HeadScan::State::kComplete:
      break;
  }
  const size_t size = scan_.size();
  auto parsed = ParseHead(absl::string_view(in_).substr(0, size));
  if (auto* problem = std::get_if<Problem>(&parsed))
    return Refuse(std::move(*problem));
  head_ = std::get<ParsedHead>(std::move(parsed));
  const size_t bytes_max = body_limit_ == nullptr ? limits::kBodyBytesMax
                                                  : body_limit_(head_->request);
  if (head_->content_length > bytes_max) return Refuse(BodyTooLarge(bytes_max));
  in_.erase(0, size);
  scan_ = HeadScan();
  chunked_ = ChunkedBody(bytes_max);
  return head_->expects_continue ? Verdict::kContinue : NextBody();
}

RequestParser::Verdict RequestParser::NextBody() {
  std::string& body = head_->request.body;
  if (!head_->chunked) {
    const size_t take =
        std::min(head_->content_length - body.size(), in_.size());
    body.append(in_, 0, take);
    in_.erase(0, take);
    return body.size() == head_->content_length ? Verdict::kRequest
                                                : Verdict::kMore;
  }
  size_t used = 0;
  const ChunkedBody::State state = chunked_.Feed(in_, body, used);
  in_.erase(0, used);
  if (state == ChunkedBody::State::kRefused) return Refuse(chunked_.problem());
  return state == ChunkedBody::State::kComplete ? Verdict::kRequest
                                                : Verdict::kMore;
}

ParsedHead RequestParser::Take() {
  KINE_CHECK(head_.has_value());
  ParsedHead taken = *std::move(head_);
  head_.reset();
  return taken;
}

RequestParser::Verdict RequestParser::Refuse(Problem problem) {
  refused_ = true;
  problem_ = std::move(problem);
  head_.reset();
  in_.clear();
  in_.shrink_to_fit();
  return Verdict::kRefused;
}

}  // namespace kine
