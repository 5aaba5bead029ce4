// Writes JSON straight into a string: no tree, no allocation a member.
//
//   std::string text;
//   JsonOut out(text);
//   out.BeginObject();
//   out.Field("id", recording.id);
//   out.BeginObject("frames");
//   out.Field("captured", 1800);
//   out.End();
//   out.End();
//
// The text is always valid JSON once every Begin has its End: bytes that are no
// UTF-8 become U+FFFD, control characters are escaped, a double that is not
// finite becomes null, an empty optional leaves its member out. Member names
// are the program's own, written as they are and not checked for doubles.
//
// Threads: one at a time. `text` must outlive the writer, which appends to it.
#pragma once

#include <concepts>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace kine {

class JsonOut {
 public:
  explicit JsonOut(std::string& text) : text_(text) {}

  // Objects and lists: without a key at the top and in lists, with one in
  // objects. End() closes the newest. At most 32 deep.
  void BeginObject() { Begin('{', '}'); }
  void BeginList() { Begin('[', ']'); }
  void BeginObject(absl::string_view key) {
    Key(key);
    BeginObject();
  }
  void BeginList(absl::string_view key) {
    Key(key);
    BeginList();
  }
  void End();

  // A list's next item, or the value after Key().
  void Value(absl::string_view value);
  void Value(const char* value) { Value(absl::string_view(value)); }
  void Value(const std::string& value) { Value(absl::string_view(value)); }
  void Value(double value);
  template <std::integral T>
  void Value(T value) {
    if constexpr (std::same_as<T, bool>) {
      Plain(value ? "true" : "false");
    } else if constexpr (std::is_signed_v<T>) {
      Signed(int64_t{value});
    } else {
      Unsigned(uint64_t{value});
    }
  }
  void Null() { Plain("null"); }
  // `json` is a whole JSON value that was written by a JsonOut before.
  void Raw(absl::string_view json) { Plain(json); }

  template <typename T>
  void Field(absl::string_view key, const T& value) {
    Key(key);
    Value(value);
  }
  template <typename T>
  void Field(absl::string_view key, const std::optional<T>& value) {
    if (value.has_value()) Field(key, *value);
  }
  // Left out when empty.
  void FieldIfAny(absl::string_view key, absl::string_view value) {
    if (!value.empty()) Field(key, value);
  }
  void FieldRaw(absl::string_view key, absl::string_view json) {
    Key(key);
    Raw(json);
  }
  // Left out when empty.
  void Field(absl::string_view key,
             const std::map<std::string, std::string>& value);

 private:
  static constexpr int kDepthMax = 32;

  void Begin(char open, char close);
  void Key(absl::string_view key);
  void Comma();
  void Plain(absl::string_view literal);
  void Signed(int64_t value);
  void Unsigned(uint64_t value);
  void Quote(absl::string_view value);

  std::string& text_;
  int depth_ = 0;
  char close_[kDepthMax];
  bool filled_[kDepthMax];  // Something stands before: a comma is due.
  bool after_key_ = false;
};

}  // namespace kine
