#include "ipc/json_in.h"

#include <jansson.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "daemon/base/log.h"
#include "ipc/json_out.h"
#include "ipc/problem.h"

namespace kine {
namespace {

struct FreeJson {
  void operator()(json_t* value) const { json_decref(value); }
};
struct FreeText {
  void operator()(char* text) const { std::free(text); }
};
using UniqueJson = std::unique_ptr<json_t, FreeJson>;

const char* TypeName(const json_t* value) {
  switch (json_typeof(value)) {
    case JSON_OBJECT:
      return "an object";
    case JSON_ARRAY:
      return "a list";
    case JSON_STRING:
      return "a text";
    case JSON_INTEGER:
      return "a whole number";
    case JSON_REAL:
      return "a number with a fraction or an exponent";
    case JSON_TRUE:
    case JSON_FALSE:
      return "true or false";
    case JSON_NULL:
      return "null";
  }
  return "nothing known";
}

absl::string_view TextOf(const json_t* value) {
  return {json_string_value(value), json_string_length(value)};
}

bool IsId(absl::string_view text) {
  if (text.empty() || !absl::ascii_isalnum(static_cast<uint8_t>(text[0])))
    return false;
  for (const char c : text) {
    if (!absl::ascii_isalnum(static_cast<uint8_t>(c)) && c != '.' && c != '_' &&
        c != '-')
      return false;
  }
  return true;
}

bool IsPrintable(absl::string_view text) {
  for (const char c : text) {
    if (absl::ascii_iscntrl(static_cast<uint8_t>(c))) return false;
  }
  return true;
}

// What `text` breaks of `rule`, as the end of a sentence; "" when nothing.
std::string Broken(absl::string_view text, const JsonTextRule& rule) {
  if (text.size() < rule.min || text.size() > rule.max) {
    return absl::StrCat("is ", text.size(), " bytes long; give ", rule.min,
                        " to ", rule.max);
  }
  if (rule.charset == JsonTextRule::kId && !text.empty() && !IsId(text)) {
    return absl::StrCat(Quoted(text),
                        " is no name of letters, digits, '.', '_' and '-' "
                        "that begins with a letter or digit");
  }
  if (rule.charset == JsonTextRule::kPrintable && !IsPrintable(text))
    return "holds control characters; give one line of text";
  return "";
}

// The member name in jansson's text: ... near '"name"'. Empty when it was cut
// or needs escapes.
absl::string_view KeyNear(const json_error_t& error) {
  absl::string_view text(error.text);
  constexpr absl::string_view kBegin = "near '\"";
  constexpr absl::string_view kEnd = "\"'";
  const size_t begin = text.find(kBegin);
  if (begin == text.npos || !absl::EndsWith(text, kEnd)) return "";
  text.remove_prefix(begin + kBegin.size());
  text.remove_suffix(std::min(text.size(), kEnd.size()));
  return text.find('\\') == text.npos ? text : "";
}

absl::Status ParseError(const json_error_t& error) {
  std::string what;
  switch (json_error_code(&error)) {
    case json_error_stack_overflow:
      what = "is nested deeper than 2048";
      break;
    case json_error_duplicate_key:
      what = "has the same member twice";
      break;
    case json_error_null_character:
    case json_error_null_byte_in_key:
      what = "holds a NUL character (\\u0000)";
      break;
    case json_error_numeric_overflow:
      what = "holds a number that 64 bits or a double cannot";
      break;
    case json_error_invalid_utf8:
      what = "is not UTF-8";
      break;
    case json_error_end_of_input_expected:
      what = "goes on after its end";
      break;
    case json_error_premature_end_of_input:
      what = "ends too early";
      break;
    default:
      what = "is no valid JSON";
  }
  const std::string message =
      absl::StrCat("the text ", what, ", at byte ", error.position, " (line ",
                   error.line, "); give one JSON object as RFC 8259 has it");
  if (json_error_code(&error) == json_error_duplicate_key) {
    if (const absl::string_view key = KeyNear(error); !key.empty())
      return FieldError(key, message);
  }
  return absl::InvalidArgumentError(message);
}

absl::StatusOr<UniqueJson> Parse(absl::string_view text, size_t bytes_max) {
  if (text.size() > bytes_max) {
    return absl::InvalidArgumentError(
        absl::StrCat("the text is ", text.size(), " bytes long; the limit is ",
                     bytes_max, ": leave out what is not needed"));
  }
  // jansson would take the text before a NUL for the whole of it.
  if (const size_t nul = text.find('\0'); nul != absl::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("the text holds a NUL byte, at byte ", nul,
                     "; give one JSON object as RFC 8259 has it"));
  }
  json_error_t error;
  UniqueJson root(json_loadb(text.data(), text.size(),
                             JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error));
  if (root == nullptr) return ParseError(error);
  if (!json_is_object(root.get())) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the text is ", TypeName(root.get()), "; give one JSON object"));
  }
  return root;
}

}  // namespace

JsonObject::JsonObject(State& state, json_t* object, std::string path)
    : state_(state), object_(object), path_(std::move(path)) {}

std::string JsonObject::Path(absl::string_view key) const {
  return path_.empty() ? std::string(key) : absl::StrCat(path_, ".", key);
}

void JsonObject::Refuse(const char* key, absl::string_view problem) {
  RefuseAt(Path(key), problem);
}

void JsonObject::RefuseAt(const std::string& path, absl::string_view problem) {
  if (!state_.status.ok() || state_.schema != nullptr) return;
  state_.status = FieldError(path, problem);
}

bool JsonObject::Has(const char* key) const {
  return json_object_get(object_, key) != nullptr;
}

std::string JsonObject::AsText(bool indented) {
  open_ = true;
  for (void* i = json_object_iter(object_); i != nullptr;
       i = json_object_iter_next(object_, i))
    known_.push_back(json_object_iter_key(i));
  const std::unique_ptr<char, FreeText> text(
      json_dumps(object_, indented ? JSON_INDENT(2) : JSON_COMPACT));
  return text == nullptr ? "{}" : text.get();
}

json_t* JsonObject::Find(const char* key, JsonNeed need) {
  known_.push_back(key);
  if (!state_.status.ok()) return nullptr;
  json_t* value = json_object_get(object_, key);
  if (value == nullptr && need == JsonNeed::kRequired)
    Refuse(key, "is missing; it must be given");
  return value;
}

void JsonObject::Finish() {
  if (!state_.status.ok() || state_.unknown == JsonUnknown::kIgnore) return;
  for (void* i = json_object_iter(object_); i != nullptr;
       i = json_object_iter_next(object_, i)) {
    const absl::string_view key(json_object_iter_key(i),
                                json_object_iter_key_len(i));
    if (std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
    RefuseAt(
        Path(key.substr(0, limits::kJsonKeyShownMax)),
        absl::StrCat("is not known here; known are ",
                     known_.empty() ? "none" : absl::StrJoin(known_, ", ")));
    return;
  }
}

void JsonObject::Bool(const char* key, bool& out, JsonNeed need) {
  if (Described(key, need, [&](JsonOut& schema) {
        schema.Field("type", "boolean");
        if (need == JsonNeed::kOptional) schema.Field("default", out);
      }))
    return;
  const json_t* value = Find(key, need);
  if (value == nullptr) return;
  if (json_is_boolean(value)) {
    out = json_is_true(value);
  } else {
    Refuse(key, absl::StrCat("is ", TypeName(value), "; give true or false"));
  }
}

void JsonObject::Number(const char* key, double& out, double min, double max,
                        JsonNeed need) {
  if (Described(key, need, [&](JsonOut& schema) {
        schema.Field("type", "number");
        schema.Field("minimum", min);
        schema.Field("maximum", max);
        if (need == JsonNeed::kOptional) schema.Field("default", out);
      }))
    return;
  const json_t* value = Find(key, need);
  if (value == nullptr) return;
  const std::string remedy =
      absl::StrCat("; give a number from ", min, " to ", max);
  if (!json_is_number(value)) {
    Refuse(key, absl::StrCat("is ", TypeName(value), remedy));
  } else if (const double number = json_number_value(value);
             number < min || number > max) {
    Refuse(key, absl::StrCat(number, " is out of range", remedy));
  } else {
    out = number;
  }
}

bool JsonObject::FindInt(const char* key, int64_t& out, int64_t min,
                         int64_t max, JsonNeed need, bool has_default) {
  if (Described(key, need, [&](JsonOut& schema) {
        schema.Field("type", "integer");
        schema.Field("minimum", min);
        schema.Field("maximum", max);
        if (has_default && need == JsonNeed::kOptional)
          schema.Field("default", out);
      }))
    return false;
  const json_t* value = Find(key, need);
  if (value == nullptr) return false;
  const std::string remedy =
      absl::StrCat("; give a whole number from ", min, " to ", max);
  if (!json_is_integer(value)) {
    Refuse(key, absl::StrCat("is ", TypeName(value), remedy));
    return false;
  }
  out = int64_t{json_integer_value(value)};
  if (out >= min && out <= max) return true;
  Refuse(key, absl::StrCat(out, " is out of range", remedy));
  return false;
}

void JsonObject::Text(const char* key, std::string& out,
                      const JsonTextRule& rule, JsonNeed need) {
  if (Described(key, need, [&](JsonOut& schema) {
        DescribeText(schema, rule);
        schema.FieldIfAny("default", out);
      }))
    return;
  const json_t* value = Find(key, need);
  if (value == nullptr) return;
  if (!json_is_string(value)) {
    Refuse(key, absl::StrCat("is ", TypeName(value), "; give a text"));
  } else if (const std::string broken = Broken(TextOf(value), rule);
             !broken.empty()) {
    Refuse(key, broken);
  } else {
    out = std::string(TextOf(value));
  }
}

int JsonObject::FindName(const char* key, std::span<const char* const> names,
                         JsonNeed need, int now) {
  if (Described(key, need, [&](JsonOut& schema) {
        schema.Field("type", "string");
        schema.BeginList("enum");
        for (const char* name : names) schema.Value(name);
        schema.End();
        if (now >= 0 && need == JsonNeed::kOptional)
          schema.Field("default", names[static_cast<size_t>(now)]);
      }))
    return -1;
  const json_t* value = Find(key, need);
  if (value == nullptr) return -1;
  if (json_is_string(value)) {
    for (size_t i = 0; i < names.size(); ++i) {
      if (TextOf(value) == names[i]) return static_cast<int>(i);
    }
  }
  Refuse(key, absl::StrCat(json_is_string(value)
                               ? Quoted(TextOf(value)) + " is not known"
                               : absl::StrCat("is ", TypeName(value)),
                           "; give one of ", absl::StrJoin(names, ", ")));
  return -1;
}

bool JsonObject::Object(const char* key,
                        absl::FunctionRef<void(JsonObject&)> bind,
                        JsonNeed need) {
  if (Described(key, need, [&](JsonOut&) { DescribeObject(state_, bind); }))
    return false;
  json_t* value = Find(key, need);
  if (value == nullptr) return false;
  BindInner(value, Path(key), bind);
  return true;
}

void JsonObject::BindInner(json_t* value, const std::string& path,
                           absl::FunctionRef<void(JsonObject&)> bind) {
  if (!json_is_object(value)) {
    RefuseAt(path, absl::StrCat("is ", TypeName(value), "; give an object"));
    return;
  }
  JsonObject inner(state_, value, path);
  bind(inner);
  inner.Finish();
}

void JsonObject::Choice(const char* key, std::initializer_list<JsonCase> cases,
                        JsonNeed need) {
  if (Described(key, need, [&](JsonOut&) { DescribeChoice(state_, cases); }))
    return;
  json_t* value = Find(key, need);
  if (value == nullptr) return;
  UniqueJson empty(json_object());
  absl::string_view name;
  json_t* inner = empty.get();
  if (json_is_string(value)) {
    name = TextOf(value);
  } else if (json_object_size(value) == 1) {
    void* only = json_object_iter(value);
    name = absl::string_view(json_object_iter_key(only),
                             json_object_iter_key_len(only));
    inner = json_object_iter_value(only);
  }
  std::string names;
  for (const JsonCase& one : cases) {
    if (name == one.name) {
      BindInner(inner, absl::StrCat(Path(key), ".", one.name), one.bind);
      return;
    }
    absl::StrAppend(&names, names.empty() ? "" : ", ", one.name);
  }
  Refuse(
      key,
      absl::StrCat(
          name.empty() ? absl::StrCat("is ", TypeName(value), " of ",
                                      json_object_size(value), " members")
                       : Quoted(name) + " is not known",
          "; give one name, or an object with it as the only member: ", names));
}

json_t* JsonObject::FindList(const char* key, size_t items_max, JsonNeed need) {
  json_t* value = Find(key, need);
  if (value == nullptr) return nullptr;
  if (!json_is_array(value)) {
    Refuse(key, absl::StrCat("is ", TypeName(value), "; give a list"));
    return nullptr;
  }
  if (json_array_size(value) > items_max) {
    Refuse(key, absl::StrCat("has ", json_array_size(value),
                             " items; give at most ", items_max));
    return nullptr;
  }
  return value;
}

void JsonObject::List(const char* key, size_t items_max,
                      absl::FunctionRef<void(JsonObject&)> bind,
                      JsonNeed need) {
  if (Described(key, need, [&](JsonOut& schema) {
        schema.Field("type", "array");
        schema.Field("maxItems", items_max);
        schema.BeginObject("items");
        DescribeObject(state_, bind);
        schema.End();
      }))
    return;
  json_t* list = FindList(key, items_max, need);
  for (size_t i = 0; i < json_array_size(list) && state_.status.ok(); ++i) {
    BindInner(json_array_get(list, i), absl::StrCat(Path(key), "[", i, "]"),
              bind);
  }
}

void JsonObject::Texts(const char* key, std::vector<std::string>& out,
                       size_t items_max, const JsonTextRule& rule,
                       JsonNeed need) {
  if (Described(key, need, [&](JsonOut& schema) {
        schema.Field("type", "array");
        schema.Field("maxItems", items_max);
        DescribeText(schema, rule, "items");
      }))
    return;
  json_t* list = FindList(key, items_max, need);
  for (size_t i = 0; i < json_array_size(list) && state_.status.ok(); ++i) {
    const json_t* item = json_array_get(list, i);
    const std::string path = absl::StrCat(Path(key), "[", i, "]");
    if (!json_is_string(item)) {
      RefuseAt(path, absl::StrCat("is ", TypeName(item), "; give a text"));
    } else if (const std::string broken = Broken(TextOf(item), rule);
               !broken.empty()) {
      RefuseAt(path, broken);
    } else {
      out.emplace_back(TextOf(item));
    }
  }
}

void JsonObject::TextMap(const char* key,
                         std::map<std::string, std::string>& out,
                         size_t items_max, const JsonTextRule& key_rule,
                         const JsonTextRule& value_rule) {
  if (Described(key, JsonNeed::kOptional, [&](JsonOut& schema) {
        schema.Field("type", "object");
        schema.Field("maxProperties", items_max);
        DescribeText(schema, key_rule, "propertyNames");
        DescribeText(schema, value_rule, "additionalProperties");
      }))
    return;
  json_t* map = Find(key, JsonNeed::kOptional);
  if (map == nullptr) return;
  if (!json_is_object(map)) {
    Refuse(key, absl::StrCat("is ", TypeName(map), "; give an object"));
    return;
  }
  if (json_object_size(map) > items_max) {
    Refuse(key, absl::StrCat("has ", json_object_size(map),
                             " members; give at most ", items_max));
    return;
  }
  for (void* i = json_object_iter(map); i != nullptr;
       i = json_object_iter_next(map, i)) {
    const absl::string_view name(json_object_iter_key(i),
                                 json_object_iter_key_len(i));
    const json_t* value = json_object_iter_value(i);
    if (const std::string broken = Broken(name, key_rule); !broken.empty()) {
      Refuse(key, absl::StrCat("a member's name ", broken));
      return;
    }
    const std::string path = absl::StrCat(Path(key), ".", name);
    if (!json_is_string(value)) {
      RefuseAt(path, absl::StrCat("is ", TypeName(value), "; give a text"));
      return;
    }
    if (const std::string broken = Broken(TextOf(value), value_rule);
        !broken.empty()) {
      RefuseAt(path, broken);
      return;
    }
    out.insert_or_assign(std::string(name), std::string(TextOf(value)));
  }
}

absl::Status BindJson(absl::string_view text, const JsonLimits& limits,
                      absl::FunctionRef<void(JsonObject&)> bind) {
  absl::StatusOr<UniqueJson> root = Parse(text, limits.bytes_max);
  if (!root.ok()) return root.status();
  JsonObject::State state{absl::OkStatus(), limits.unknown};
  JsonObject object(state, root->get(), "");
  bind(object);
  object.Finish();
  return state.status;
}

}  // namespace kine
