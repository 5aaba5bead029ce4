#include "tests/integration/schema_values.h"

#include <jansson.h>

#include <cstdint>
#include <cstdlib>
#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace kine {
namespace {

using Values = std::vector<SchemaValue>;

std::string TextMember(const json_t* schema, const char* name) {
  const char* text = json_string_value(json_object_get(schema, name));
  return text == nullptr ? "" : text;
}

int64_t IntMember(const json_t* schema, const char* name, int64_t otherwise) {
  const json_t* value = json_object_get(schema, name);
  return json_is_integer(value) ? int64_t{json_integer_value(value)}
                                : otherwise;
}

void Refused(Values& values, std::initializer_list<const char*> texts) {
  for (const char* text : texts) values.push_back({text, false});
}

void AddNumber(const json_t* schema, bool whole, Values& values) {
  Refused(values, {"null", "\"1\"", "[]", "{}", "true"});
  const double min = json_number_value(json_object_get(schema, "minimum"));
  const double max = json_number_value(json_object_get(schema, "maximum"));
  if (!whole) {
    values.push_back({absl::StrCat(min)});
    values.push_back({absl::StrCat(max)});
    values.push_back({absl::StrCat(min - 1), false});
    values.push_back({absl::StrCat(max * 2 + 1), false});
    return;
  }
  Refused(values, {"1.5", "9223372036854775808", "-9223372036854775809"});
  const int64_t low = IntMember(schema, "minimum", 0);
  const int64_t high = IntMember(schema, "maximum", 0);
  values.push_back({absl::StrCat(low)});
  values.push_back({absl::StrCat(high)});
  if (low > std::numeric_limits<int64_t>::min())
    values.push_back({absl::StrCat(low - 1), false});
  if (high < std::numeric_limits<int64_t>::max())
    values.push_back({absl::StrCat(high + 1), false});
}

void AddText(const json_t* schema, Values& values) {
  Refused(values, {"null", "1", "[]", "{}", "false", "\"\\u0000\""});
  const json_t* names = json_object_get(schema, "enum");
  if (names != nullptr) {
    for (size_t i = 0; i < json_array_size(names); ++i)
      values.push_back({absl::StrCat(
          "\"", json_string_value(json_array_get(names, i)), "\"")});
    Refused(values, {"\"\"", "\"nope\""});
    return;
  }
  values.push_back({"\"a\"", true, true});
  if (json_object_get(schema, "minLength") != nullptr)
    values.push_back({"\"\"", false});
  const int64_t max = IntMember(schema, "maxLength", 0);
  if (max > 0 && max < 60'000)
    values.push_back(
        {absl::StrCat("\"", std::string(static_cast<size_t>(max) + 1, 'a'),
                      "\""),
         false});
  const std::string pattern = TextMember(schema, "pattern");
  if (!pattern.empty()) values.push_back({"\"a\\nb\"", false});
  if (absl::StrContains(pattern, "A-Z")) Refused(values, {"\"a/b\"", "\".\""});
}

std::string Repeated(int64_t count, absl::string_view item, bool named) {
  std::string all;
  for (int64_t i = 0; i < count; ++i)
    absl::StrAppend(&all, i == 0 ? "" : ",",
                    named ? absl::StrCat("\"k", i, "\":") : "", item);
  return all;
}

void AddMap(const json_t* schema, Values& values) {
  Refused(values, {"null", "1", "[]", "\"a\"", "{\"k\":1}", "{\"k\":null}",
                   "{\"k\":\"a\",\"k\":\"b\"}", "{\"\":\"a\"}"});
  values.push_back({"{}"});
  values.push_back({"{\"k\":\"v\"}"});
  const int64_t max = IntMember(schema, "maxProperties", 0);
  if (max < 5'000)
    values.push_back(
        {absl::StrCat("{", Repeated(max + 1, "\"\"", true), "}"), false});
}

// The object of `schema` with the members that it needs, but not `name`.
std::string Needed(const json_t* schema, absl::string_view name) {
  std::string object = "{}";
  const json_t* required = json_object_get(schema, "required");
  for (size_t i = 0; i < json_array_size(required); ++i) {
    const char* key = json_string_value(json_array_get(required, i));
    if (name == key) continue;
    for (const SchemaValue& value :
         ValuesOf(json_object_get(json_object_get(schema, "properties"), key)))
      if (value.legal) object = WithMember(object, key, value.json);
  }
  return object;
}

void AddObject(const json_t* schema, Values& values) {
  Refused(values, {"null", "1", "[]"});
  if (json_is_false(json_object_get(schema, "additionalProperties")))
    values.push_back({WithMember(Needed(schema, ""), "zzz", "1"), false});
  const char* name;
  json_t* member;
  json_t* properties = json_object_get(schema, "properties");
  json_object_foreach(properties, name, member) {
    for (const SchemaValue& value : ValuesOf(member))
      values.push_back({WithMember(Needed(schema, name), name, value.json),
                        value.legal, value.free_text});
  }
}

// A name, or an object with one member; as JsonObject::Choice() writes it.
void AddChoice(const json_t* both, Values& values) {
  Refused(values, {"null", "1", "[]", "{}", "\"nope\"", "{\"nope\":{}}"});
  const json_t* names = json_object_get(json_array_get(both, 0), "enum");
  for (size_t i = 0; i < json_array_size(names); ++i)
    values.push_back({absl::StrCat(
        "\"", json_string_value(json_array_get(names, i)), "\"")});
  const char* name;
  json_t* member;
  json_t* cases = json_object_get(json_array_get(both, 1), "properties");
  json_object_foreach(cases, name, member) {
    for (const SchemaValue& value : ValuesOf(member))
      values.push_back({absl::StrCat("{\"", name, "\":", value.json, "}"),
                        value.legal, value.free_text});
  }
}

}  // namespace

std::vector<SchemaValue> ValuesOf(const json_t* schema) {
  Values values;
  const std::string type = TextMember(schema, "type");
  if (const json_t* both = json_object_get(schema, "oneOf")) {
    AddChoice(both, values);
  } else if (type == "boolean") {
    Refused(values, {"null", "1", "\"true\"", "[]"});
    values.push_back({"true"});
    values.push_back({"false"});
  } else if (type == "integer" || type == "number") {
    AddNumber(schema, type == "integer", values);
  } else if (type == "string") {
    AddText(schema, values);
  } else if (type == "array") {
    Refused(values, {"null", "1", "{}", "\"a\"", "[1]", "[null]", "[[]]"});
    const int64_t max = IntMember(schema, "maxItems", 0);
    values.push_back({"[\"true\"]", true, true});
    if (max < 10'000)
      values.push_back(
          {absl::StrCat("[", Repeated(max + 1, "\"\"", false), "]"), false});
  } else if (json_object_get(schema, "propertyNames") != nullptr) {
    AddMap(schema, values);
  } else {
    AddObject(schema, values);
  }
  return values;
}

std::string WithMember(const std::string& object, const std::string& name,
                       const std::string& value) {
  json_t* json = json_loads(object.empty() ? "{}" : object.c_str(), 0, nullptr);
  json_object_del(json, name.c_str());
  char* dumped = json_dumps(json, JSON_COMPACT);
  const std::string rest = dumped == nullptr ? object : dumped;
  std::free(dumped);
  json_decref(json);
  return absl::StrCat("{\"", name, "\":", value, rest == "{}" ? "" : ",",
                      rest.substr(1));
}

}  // namespace kine
