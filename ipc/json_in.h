// Typed reading of JSON that somebody else wrote.
//
// BindJson() parses a text strictly and hands its object to a function that
// names every member it knows, with type, range and where the value goes:
//
//   absl::Status status = BindJson(text, {}, [&](JsonObject& o) {
//     o.Text("id", request.id, {.max = 64}, JsonNeed::kRequired);
//     o.Int("max_bytes", request.max_bytes, 4 << 20, 1ll << 40);
//   });
//
// Strict: RFC 8259 only, UTF-8 only, no byte order mark, no NUL (plain or
// escaped), no duplicate member, no trailing byte, integers within 64 bits,
// numbers within double; 64 KiB unless said otherwise. Members that nobody
// named are refused. An absent optional member leaves its target untouched;
// null counts as a wrong type.
//
// Errors: INVALID_ARGUMENT that names the member by its path ("source.test.
// width"), the limit and what to give instead; the first one wins and nothing
// after it is stored. FieldOf() of problem.h finds the path again. After an
// error the targets hold a mix of old and new values: throw them away.
//
// Threads: no state; any thread. Spans, limits and names are read during the
// call only.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "daemon/base/limits.h"

struct json_t;

namespace kine {

class JsonOut;

enum class JsonNeed { kOptional, kRequired };
// Requests refuse unknown members; replies may grow some within /v1.
enum class JsonUnknown { kRefuse, kIgnore };

struct JsonLimits {
  size_t bytes_max = limits::kBodyBytesMax;
  JsonUnknown unknown = JsonUnknown::kRefuse;
};

struct JsonTextRule {
  enum Charset {
    kAny,        // Any UTF-8 text.
    kPrintable,  // No control characters: one line.
    kId,         // [A-Za-z0-9][A-Za-z0-9._-]*
  };
  size_t min = 0;  // Bytes.
  size_t max = 256;
  Charset charset = kPrintable;
};

template <typename E>
struct JsonName {
  const char* name;
  E value;
};

struct JsonCase;

// An object that is being read: valid during the bind function only.
class JsonObject {
 public:
  JsonObject(const JsonObject&) = delete;
  JsonObject& operator=(const JsonObject&) = delete;

  void Bool(const char* key, bool& out, JsonNeed need = JsonNeed::kOptional);
  void Number(const char* key, double& out, double min, double max,
              JsonNeed need = JsonNeed::kOptional);
  void Text(const char* key, std::string& out, const JsonTextRule& rule,
            JsonNeed need = JsonNeed::kOptional);

  // A whole number: 3.0 and 1e2 are refused. Values above INT64_MAX do not
  // exist in this JSON.
  template <std::integral T>
  void Int(const char* key, T& out, int64_t min, int64_t max,
           JsonNeed need = JsonNeed::kOptional) {
    int64_t value = static_cast<int64_t>(out);
    if (FindInt(key, value, std::max(min, Lowest<T>()),
                std::min(max, Highest<T>()), need, true))
      out = static_cast<T>(value);
  }
  // 0 (or the type's lowest) to the highest.
  template <std::integral T>
  void Int(const char* key, T& out, JsonNeed need = JsonNeed::kOptional) {
    Int(key, out, Lowest<T>(), Highest<T>(), need);
  }
  template <std::integral T>
  void Int(const char* key, std::optional<T>& out, int64_t min = Lowest<T>(),
           int64_t max = Highest<T>()) {
    int64_t value = static_cast<int64_t>(out.value_or(0));
    if (FindInt(key, value, std::max(min, Lowest<T>()),
                std::min(max, Highest<T>()), JsonNeed::kOptional,
                out.has_value()))
      out = static_cast<T>(value);
  }

  // A text out of a table.
  template <typename E, size_t N>
  void Enum(const char* key, E& out, const JsonName<E> (&table)[N],
            JsonNeed need = JsonNeed::kOptional) {
    const char* names[N];
    int now = -1;
    for (size_t i = 0; i < N; ++i) {
      names[i] = table[i].name;
      if (table[i].value == out) now = static_cast<int>(i);
    }
    if (const int i = FindName(key, names, need, now); i >= 0)
      out = table[i].value;
  }

  // The same without a default: nothing when it is absent.
  template <typename E, size_t N>
  void Enum(const char* key, std::optional<E>& out,
            const JsonName<E> (&table)[N]) {
    const char* names[N];
    int now = -1;
    for (size_t i = 0; i < N; ++i) {
      names[i] = table[i].name;
      if (out == table[i].value) now = static_cast<int>(i);
    }
    if (const int i = FindName(key, names, JsonNeed::kOptional, now); i >= 0)
      out = table[i].value;
  }

  // A nested object. True when it was there.
  bool Object(const char* key, absl::FunctionRef<void(JsonObject&)> bind,
              JsonNeed need = JsonNeed::kOptional);

  // Exactly one of `cases`: an object with that one member, {"test":{...}}, or
  // its name alone, "test", which stands for {"test":{}}. Write the cases in
  // the call: an initializer_list keeps their functions alive just so long.
  void Choice(const char* key, std::initializer_list<JsonCase> cases,
              JsonNeed need = JsonNeed::kOptional);

  // Lists of at most `items_max` objects or texts. Texts are appended to `out`.
  void List(const char* key, size_t items_max,
            absl::FunctionRef<void(JsonObject&)> bind,
            JsonNeed need = JsonNeed::kOptional);
  void Texts(const char* key, std::vector<std::string>& out, size_t items_max,
             const JsonTextRule& rule, JsonNeed need = JsonNeed::kOptional);

  // An object of texts with free member names, such as labels.
  void TextMap(const char* key, std::map<std::string, std::string>& out,
               size_t items_max, const JsonTextRule& key_rule,
               const JsonTextRule& value_rule);

  bool Has(const char* key) const;
  // This object again, as JSON in the order it came: in one line, or indented.
  // Its members count as known.
  std::string AsText(bool indented = false);

  // A rule that the binder cannot know, such as "not both": refuses `key`.
  // `problem` reads after "key: ".
  void Refuse(const char* key, absl::string_view problem);

 private:
  struct State {
    absl::Status status;  // The first error.
    JsonUnknown unknown;
    JsonOut* schema = nullptr;  // Nothing is read: described into this.
  };
  friend absl::Status BindJson(absl::string_view, const JsonLimits&,
                               absl::FunctionRef<void(JsonObject&)>);
  friend std::string DescribeJson(absl::FunctionRef<void(JsonObject&)>,
                                  JsonUnknown);

  template <typename T>
  static constexpr int64_t Lowest() {
    return std::is_unsigned_v<T> ? 0
                                 : int64_t{std::numeric_limits<T>::lowest()};
  }
  template <typename T>
  static constexpr int64_t Highest() {
    return sizeof(T) == 8 ? std::numeric_limits<int64_t>::max()
                          : static_cast<int64_t>(std::numeric_limits<T>::max());
  }

  JsonObject(State& state, json_t* object, std::string path);
  void Finish();
  json_t* Find(const char* key, JsonNeed need);
  // `out` is the default before, if it `has_default`; so is names[now].
  bool FindInt(const char* key, int64_t& out, int64_t min, int64_t max,
               JsonNeed need, bool has_default);
  int FindName(const char* key, std::span<const char* const> names,
               JsonNeed need, int now);
  json_t* FindList(const char* key, size_t items_max, JsonNeed need);
  void BindInner(json_t* value, const std::string& path,
                 absl::FunctionRef<void(JsonObject&)> bind);
  void RefuseAt(const std::string& path, absl::string_view problem);
  std::string Path(absl::string_view key) const;
  // True when this is being described: `write` wrote the member's schema.
  bool Described(const char* key, JsonNeed need,
                 absl::FunctionRef<void(JsonOut&)> write);
  static void DescribeObject(State& state,
                             absl::FunctionRef<void(JsonObject&)> bind);
  static void DescribeChoice(State& state,
                             std::initializer_list<JsonCase> cases);
  // In an object of its own, `key`, when there is one.
  static void DescribeText(JsonOut& schema, const JsonTextRule& rule,
                           const char* key = nullptr);

  State& state_;
  json_t* const object_;
  const std::string path_;
  std::vector<const char*> known_;
  std::vector<const char*> required_;  // When this is being described.
  bool open_ = false;                  // Likewise: AsText() takes any member.
};

// One alternative of JsonObject::Choice.
struct JsonCase {
  const char* name;
  absl::FunctionRef<void(JsonObject&)> bind;
};

// Parses `text`, which must be one object, and binds it.
absl::Status BindJson(absl::string_view text, const JsonLimits& limits,
                      absl::FunctionRef<void(JsonObject&)> bind);

// What `bind` would read, as JSON Schema: names, types, limits, and as defaults
// what the targets hold. `bind` runs once, on an object without members, and
// all that it refuses by itself is ignored: such rules do not show.
std::string DescribeJson(absl::FunctionRef<void(JsonObject&)> bind,
                         JsonUnknown unknown = JsonUnknown::kRefuse);

}  // namespace kine
