#include "ipc/json_out.h"

#include <charconv>
#include <cmath>

#include "daemon/base/check.h"

namespace kine {
namespace {

constexpr char kReplacement[] = "\xef\xbf\xbd";  // U+FFFD

bool IsContinuation(absl::string_view text, size_t i) {
  return i < text.size() && (static_cast<uint8_t>(text[i]) & 0xc0) == 0x80;
}

// The length of the well-formed UTF-8 character at text[i] (Unicode, table
// 3-7: no overlong form, no surrogate, nothing above U+10FFFF), or 0.
size_t CharacterAt(absl::string_view text, size_t i) {
  const uint8_t lead = static_cast<uint8_t>(text[i]);
  if (lead < 0x80) return 1;
  const uint8_t second =
      i + 1 < text.size() ? static_cast<uint8_t>(text[i + 1]) : 0;
  if (lead >= 0xc2 && lead <= 0xdf) return IsContinuation(text, i + 1) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    const uint8_t low = lead == 0xe0 ? 0xa0 : 0x80;
    const uint8_t high = lead == 0xed ? 0x9f : 0xbf;
    if (second < low || second > high) return 0;
    return IsContinuation(text, i + 2) ? 3 : 0;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    const uint8_t low = lead == 0xf0 ? 0x90 : 0x80;
    const uint8_t high = lead == 0xf4 ? 0x8f : 0xbf;
    if (second < low || second > high) return 0;
    return IsContinuation(text, i + 2) && IsContinuation(text, i + 3) ? 4 : 0;
  }
  return 0;
}

}  // namespace

void JsonOut::Comma() {
  if (after_key_) {
    after_key_ = false;
  } else if (depth_ > 0) {
    if (filled_[depth_ - 1]) text_.push_back(',');
    filled_[depth_ - 1] = true;
  }
}

void JsonOut::Begin(char open, char close) {
  KINE_CHECK(depth_ < kDepthMax);
  Comma();
  text_.push_back(open);
  close_[depth_] = close;
  filled_[depth_] = false;
  ++depth_;
}

void JsonOut::End() {
  KINE_CHECK(depth_ > 0 && !after_key_);
  text_.push_back(close_[--depth_]);
}

void JsonOut::Key(absl::string_view key) {
  KINE_CHECK(depth_ > 0 && close_[depth_ - 1] == '}' && !after_key_);
  Comma();
  Quote(key);
  text_.push_back(':');
  after_key_ = true;
}

void JsonOut::Plain(absl::string_view literal) {
  Comma();
  text_.append(literal.data(), literal.size());
}

void JsonOut::Signed(int64_t value) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  Plain({digits, static_cast<size_t>(end - digits)});
}

void JsonOut::Unsigned(uint64_t value) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  Plain({digits, static_cast<size_t>(end - digits)});
}

void JsonOut::Value(double value) {
  if (!std::isfinite(value)) return Null();
  char digits[32];  // The shortest text that reads back as the same number.
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  Plain({digits, static_cast<size_t>(end - digits)});
}

void JsonOut::Value(absl::string_view value) {
  Comma();
  Quote(value);
}

void JsonOut::Field(absl::string_view key,
                    const std::map<std::string, std::string>& value) {
  if (value.empty()) return;
  BeginObject(key);
  for (const auto& [name, text] : value) Field(name, text);
  End();
}

void JsonOut::Quote(absl::string_view value) {
  static constexpr char kHex[] = "0123456789abcdef";
  text_.push_back('"');
  for (size_t i = 0; i < value.size();) {
    const char c = value[i];
    const size_t length = CharacterAt(value, i);
    if (length == 0) {
      text_.append(kReplacement);
      ++i;
      continue;
    }
    if (c == '"' || c == '\\') {
      text_.push_back('\\');
      text_.push_back(c);
    } else if (c == '\n') {
      text_.append("\\n");
    } else if (static_cast<uint8_t>(c) < 0x20 || c == 0x7f) {
      text_.append("\\u00");
      text_.push_back(kHex[static_cast<uint8_t>(c) >> 4]);
      text_.push_back(kHex[static_cast<uint8_t>(c) & 15]);
    } else {
      text_.append(value.data() + i, length);
    }
    i += length;
  }
  text_.push_back('"');
}

}  // namespace kine
