// The two directions of a message on a Link: MessageReader fills its fields
// from a JSON object, MessageWriter writes them. Both have the same members, so
// that one function a message,
//
//   template <typename Io>
//   void Fields(Io& io, In<Io, Stop> m) { io.Id("id", m.id); ... }
//
// is its schema in both directions. Every member is written and must be there.
// Fields() is found by its arguments: it stands in this namespace.
//
// Reading, errors are the JsonObject's and name the member. Writing cannot
// fail: what the peer would refuse (a long text, a wrong counter) is cut or 0.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"
#include "daemon/base/check.h"
#include "daemon/base/limits.h"
#include "ipc/json_in.h"
#include "ipc/json_out.h"
#include "ipc/recording_request.h"

namespace kine::link {

// `text` cut to the limit, between two characters.
inline absl::string_view Clip(absl::string_view text) {
  if (text.size() <= limits::kLinkTextBytesMax) return text;
  size_t end = limits::kLinkTextBytesMax;
  while (end > 0 && (static_cast<uint8_t>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end);
}

class MessageReader {
 public:
  template <typename T>
  using Ref = T&;

  explicit MessageReader(JsonObject& object) : object_(object) {}
  void Id(const char* key, std::string& value) {
    object_.Text(key, value,
                 {.min = 1,
                  .max = limits::kRecordingIdMax,
                  .charset = JsonTextRule::kId},
                 JsonNeed::kRequired);
  }
  void Text(const char* key, std::string& value) {
    object_.Text(key, value, kTextRule, JsonNeed::kRequired);
  }
  void Token(const char* key, std::string& value) {
    object_.Text(key, value, {.max = limits::kRestoreTokenMax},
                 JsonNeed::kRequired);
  }
  void Base64(const char* key, std::string& value, size_t bytes_max) {
    std::string text;
    object_.Text(key, text, {.max = (bytes_max + 2) / 3 * 4},
                 JsonNeed::kRequired);
    if (!absl::Base64Unescape(text, &value))
      object_.Refuse(key, "must be base64");
  }
  void Texts(const char* key, std::vector<std::string>& values) {
    object_.Texts(key, values, limits::kLinkRefusalsMax, kTextRule,
                  JsonNeed::kRequired);
  }
  template <std::integral T>
  void Whole(const char* key, T& value) {
    object_.Int(key, value, 0, std::numeric_limits<int64_t>::max(),
                JsonNeed::kRequired);
  }
  void Bool(const char* key, bool& value) {
    object_.Bool(key, value, JsonNeed::kRequired);
  }
  template <typename E, size_t N>
  void Enum(const char* key, E& value, const JsonName<E> (&table)[N]) {
    object_.Enum(key, value, table, JsonNeed::kRequired);
  }
  template <typename T>
  void Object(const char* key, T& value) {
    object_.Object(
        key,
        [&value](JsonObject& o) {
          MessageReader reader(o);
          Fields(reader, value);
        },
        JsonNeed::kRequired);
  }
  template <typename T>
  void List(const char* key, std::vector<T>& values, size_t items_max) {
    object_.List(
        key, items_max,
        [&values](JsonObject& o) {
          MessageReader reader(o);
          Fields(reader, values.emplace_back());
        },
        JsonNeed::kRequired);
  }
  void Settings(RecordingSettings& settings) {
    BindSettings(object_, settings);
  }

 private:
  // A byte that is no UTF-8 was replaced by three.
  static constexpr JsonTextRule kTextRule = {
      .max = 3 * limits::kLinkTextBytesMax, .charset = JsonTextRule::kAny};
  JsonObject& object_;
};

class MessageWriter {
 public:
  template <typename T>
  using Ref = const T&;

  explicit MessageWriter(JsonOut& out) : out_(out) {}
  void Id(const char* key, const std::string& value) { out_.Field(key, value); }
  void Text(const char* key, const std::string& value) {
    out_.Field(key, Clip(value));
  }
  // Half a token opens nothing.
  void Token(const char* key, const std::string& value) {
    const bool fits = value.size() <= limits::kRestoreTokenMax;
    out_.Field(key, fits ? absl::string_view(value) : "");
  }
  void Base64(const char* key, const std::string& value, size_t bytes_max) {
    KINE_CHECK(value.size() <= bytes_max);
    out_.Field(key, absl::Base64Escape(value));
  }
  void Texts(const char* key, const std::vector<std::string>& values) {
    out_.BeginList(key);
    for (size_t i = 0; i < values.size() && i < limits::kLinkRefusalsMax; ++i)
      out_.Value(Clip(values[i]));
    out_.End();
  }
  template <std::integral T>
  void Whole(const char* key, T value) {
    // Nothing below 0 or above INT64_MAX is read: a wrong counter must not
    // break the link.
    const bool fits = std::in_range<int64_t>(value) && value >= T{0};
    out_.Field(key, fits ? value : T{0});
  }
  void Bool(const char* key, bool value) { out_.Field(key, value); }
  template <typename E, size_t N>
  void Enum(const char* key, E value, const JsonName<E> (&table)[N]) {
    for (const JsonName<E>& row : table) {
      if (row.value == value) return out_.Field(key, row.name);
    }
  }
  template <typename T>
  void Object(const char* key, const T& value) {
    out_.BeginObject(key);
    Fields(*this, value);
    out_.End();
  }
  template <typename T>
  void List(const char* key, const std::vector<T>& values, size_t items_max) {
    out_.BeginList(key);
    for (size_t i = 0; i < values.size() && i < items_max; ++i) {
      out_.BeginObject();
      Fields(*this, values[i]);
      out_.End();
    }
    out_.End();
  }
  void Settings(const RecordingSettings& settings) {
    WriteSettings(out_, settings);
  }

 private:
  JsonOut& out_;
};

template <typename Io, typename T>
using In = typename Io::template Ref<T>;

}  // namespace kine::link
