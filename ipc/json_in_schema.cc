// What binders read, as JSON Schema: the binder itself is asked, so that the
// document cannot say anything else than the code does.
#include <algorithm>

#include "absl/strings/string_view.h"
#include "ipc/json_in.h"
#include "ipc/json_out.h"

namespace kine {

bool JsonObject::Described(const char* key, JsonNeed need,
                           absl::FunctionRef<void(JsonOut&)> write) {
  if (state_.schema == nullptr) return false;
  const bool again = std::any_of(
      known_.begin(), known_.end(),
      [key](const char* known) { return absl::string_view(known) == key; });
  if (again) return true;
  known_.push_back(key);
  if (need == JsonNeed::kRequired) required_.push_back(key);
  state_.schema->BeginObject(key);
  write(*state_.schema);
  state_.schema->End();
  return true;
}

void JsonObject::DescribeObject(State& state,
                                absl::FunctionRef<void(JsonObject&)> bind) {
  JsonOut& schema = *state.schema;
  JsonObject object(state, nullptr, "");
  schema.Field("type", "object");
  schema.BeginObject("properties");
  bind(object);
  schema.End();
  if (!object.required_.empty()) {
    schema.BeginList("required");
    for (const char* key : object.required_) schema.Value(key);
    schema.End();
  }
  schema.Field("additionalProperties",
               object.open_ || state.unknown == JsonUnknown::kIgnore);
}

// The name alone, or an object with it as the only member.
void JsonObject::DescribeChoice(State& state,
                                std::initializer_list<JsonCase> cases) {
  JsonOut& schema = *state.schema;
  schema.BeginList("oneOf");
  schema.BeginObject();
  schema.Field("type", "string");
  schema.BeginList("enum");
  for (const JsonCase& one : cases) schema.Value(one.name);
  schema.End();
  schema.End();
  schema.BeginObject();
  schema.Field("type", "object");
  schema.BeginObject("properties");
  for (const JsonCase& one : cases) {
    schema.BeginObject(one.name);
    DescribeObject(state, one.bind);
    schema.End();
  }
  schema.End();
  schema.Field("minProperties", 1);
  schema.Field("maxProperties", 1);
  schema.Field("additionalProperties", false);
  schema.End();
  schema.End();
}

// The limits are in bytes of UTF-8; JSON Schema counts characters, of which
// there are at most as many.
void JsonObject::DescribeText(JsonOut& schema, const JsonTextRule& rule,
                              const char* key) {
  if (key != nullptr) {
    schema.BeginObject(key);
    DescribeText(schema, rule);
    schema.End();
    return;
  }
  schema.Field("type", "string");
  if (rule.min > 0) schema.Field("minLength", rule.min);
  schema.Field("maxLength", rule.max);
  switch (rule.charset) {
    case JsonTextRule::kAny:
      break;
    case JsonTextRule::kPrintable:
      schema.Field("pattern", "^[^\\x00-\\x1f\\x7f]*$");
      break;
    case JsonTextRule::kId:
      schema.Field("pattern", rule.min > 0 ? "^[A-Za-z0-9][A-Za-z0-9._-]*$"
                                           : "^([A-Za-z0-9][A-Za-z0-9._-]*)?$");
      break;
  }
}

std::string DescribeJson(absl::FunctionRef<void(JsonObject&)> bind,
                         JsonUnknown unknown) {
  std::string text;
  JsonOut schema(text);
  JsonObject::State state{absl::OkStatus(), unknown, &schema};
  schema.BeginObject();
  JsonObject::DescribeObject(state, bind);
  schema.End();
  return text;
}

}  // namespace kine
