// The raw scan of a head: what the parser never gets to see.
#include "absl/strings/str_cat.h"
#include "daemon/base/limits.h"
#include "ipc/http_parser.h"

namespace kine {
namespace {

// The longest method and version beside the target.
constexpr size_t kRequestLineMax =
    limits::kTargetBytesMax + sizeof("DELETE  HTTP/1.1") - 1;

bool IsTokenByte(unsigned char byte) {
  if (byte >= '0' && byte <= '9') return true;
  if ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'z') return true;
  return absl::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(byte)) !=
         absl::string_view::npos;
}

}  // namespace

HeadScan::State HeadScan::Scan(absl::string_view buffer) {
  while (at_ < buffer.size()) {
    if (at_ >= limits::kHeadBytesMax) {
      Refuse(431, "head_too_large",
             absl::StrCat("the request's head is longer than ",
                          limits::kHeadBytesMax, " bytes"));
      return State::kRefused;
    }
    if (!Byte(static_cast<unsigned char>(buffer[at_]))) return State::kRefused;
    ++at_;
    if (part_ == Part::kLineStart && last_line_) return State::kComplete;
  }
  return State::kMore;
}

bool HeadScan::Byte(unsigned char byte) {
  switch (part_) {
    case Part::kRequestLine:
      if (byte == '\r' && at_ > 0) {
        part_ = Part::kLf;
        return true;
      }
      if (byte < 0x20 || byte > 0x7e)
        return Refuse(400, "bad_request",
                      "the request line has a byte that is not visible ASCII");
      if (at_ >= kRequestLineMax)
        return Refuse(414, "target_too_long",
                      absl::StrCat("the request target is longer than ",
                                   limits::kTargetBytesMax, " bytes"));
      return true;
    case Part::kLineStart:
      return LineStart(byte);
    case Part::kName:
      if (byte == ':') {
        part_ = Part::kValue;
        return true;
      }
      if (!IsTokenByte(byte))
        return Refuse(400, "bad_request",
                      "a field name has a byte that is not allowed there");
      return true;
    case Part::kValue:
      if (byte == '\r') {
        part_ = Part::kLf;
        return true;
      }
      if ((byte < 0x20 && byte != '\t') || byte == 0x7f)
        return Refuse(400, "bad_request",
                      "a field value has a control character");
      return true;
    case Part::kLf:
      if (byte != '\n')
        return Refuse(400, "bad_request", "a CR without its LF");
      part_ = Part::kLineStart;
      return true;
  }
  return false;
}

bool HeadScan::LineStart(unsigned char byte) {
  if (byte == '\r') {
    last_line_ = true;
    part_ = Part::kLf;
    return true;
  }
  if (byte == ' ' || byte == '\t')
    return Refuse(400, "bad_request", "a folded header line");
  if (!IsTokenByte(byte))
    return Refuse(400, "bad_request", "a header line without a field name");
  if (++fields_ > limits::kHeadFieldsMax)
    return Refuse(431, "too_many_fields",
                  absl::StrCat("the request has more than ",
                               limits::kHeadFieldsMax, " header fields"));
  part_ = Part::kName;
  return true;
}

bool HeadScan::Refuse(int status, absl::string_view code,
                      absl::string_view message) {
  problem_ = Problem{status, std::string(code), std::string(message), "", ""};
  return false;
}

}  // namespace kine
