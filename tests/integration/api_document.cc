#include "tests/integration/api_document.h"

#include <jansson.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace kine {
namespace {

using Pieces = std::vector<std::string>;

bool Fits(const Pieces& path, const Pieces& pattern) {
  return std::ranges::equal(
      path, pattern, [](const std::string& a, const std::string& b) {
        return absl::StartsWith(b, "{") ? !a.empty() : a == b;
      });
}

// Of the path that fits, one without names first.
json_t* OperationOf(const json_t* document, const std::string& method,
                    const std::string& target) {
  const Pieces path = absl::StrSplit(target.substr(0, target.find('?')), '/');
  json_t* found = nullptr;
  const char* pattern;
  json_t* methods;
  json_object_foreach(json_object_get(document, "paths"), pattern, methods) {
    if (!Fits(path, absl::StrSplit(pattern, '/'))) continue;
    if (found == nullptr || !absl::StrContains(pattern, "{")) found = methods;
  }
  return json_object_get(found, absl::AsciiStrToLower(method).c_str());
}

bool IsOfType(const json_t* value, absl::string_view type) {
  switch (json_typeof(value)) {
    case JSON_OBJECT:
      return type == "object";
    case JSON_ARRAY:
      return type == "array";
    case JSON_STRING:
      return type == "string";
    case JSON_INTEGER:
      return type == "integer" || type == "number";
    case JSON_REAL:
      return type == "number";
    case JSON_TRUE:
    case JSON_FALSE:
      return type == "boolean";
    case JSON_NULL:
      return type == "null";
  }
  return false;
}

std::string Judge(const json_t* schema, const json_t* value,
                  const std::string& where);

std::string JudgeObject(const json_t* schema, const json_t* value,
                        const std::string& where) {
  const json_t* properties = json_object_get(schema, "properties");
  const json_t* others = json_object_get(schema, "additionalProperties");
  // Nothing is said of what is in it.
  if (properties == nullptr && others == nullptr) return "";
  size_t i;
  json_t* needed;
  json_array_foreach(json_object_get(schema, "required"), i, needed) {
    const char* name = json_string_value(needed);
    if (json_object_get(value, name) == nullptr)
      return absl::StrCat(where, ".", name, " is missing");
  }
  const char* name;
  json_t* member;
  json_object_foreach(const_cast<json_t*>(value), name, member) {
    const json_t* known = json_object_get(properties, name);
    if (known == nullptr) known = others;
    const std::string path = absl::StrCat(where, ".", name);
    if (known == nullptr)
      return absl::StrCat(path, " is in no sample of the route's RouteAnswer");
    std::string complaint = Judge(known, member, path);
    if (!complaint.empty()) return complaint;
  }
  return "";
}

std::string Judge(const json_t* schema, const json_t* value,
                  const std::string& where) {
  const json_t* type = json_object_get(schema, "type");
  bool right = json_is_string(type) && IsOfType(value, json_string_value(type));
  size_t i;
  json_t* one;
  json_array_foreach(type, i, one) right =
      right || IsOfType(value, json_string_value(one));
  if (!right) return absl::StrCat(where, " is of another type");
  if (json_is_object(value)) return JudgeObject(schema, value, where);
  json_array_foreach(value, i, one) {
    std::string complaint = Judge(json_object_get(schema, "items"), one,
                                  absl::StrCat(where, "[", i, "]"));
    if (!complaint.empty()) return complaint;
  }
  return "";
}

}  // namespace

ApiDocument::ApiDocument(const std::string& json)
    : root_(json_loads(json.c_str(), JSON_REJECT_DUPLICATES, nullptr),
            &json_decref) {}

std::string ApiDocument::Complaint(const std::string& method,
                                   const std::string& target, int status,
                                   const std::string& media_type,
                                   const std::string& body) const {
  const json_t* operation = OperationOf(root_.get(), method, target);
  if (operation == nullptr) return "the operation is not in the document";
  const json_t* answer = json_object_get(
      json_object_get(operation, "responses"), absl::StrCat(status).c_str());
  if (answer == nullptr)
    return absl::StrCat("the status ", status, " is not in the document");
  const json_t* content = json_object_get(answer, "content");
  if (media_type.empty() && json_object_size(content) == 0) return "";
  const json_t* media = json_object_get(content, media_type.c_str());
  if (media == nullptr)
    return absl::StrCat("'", media_type, "' is not in the document");
  if (media_type != "application/json" || status == 206) return "";
  const char* ref = json_string_value(
      json_object_get(json_object_get(media, "schema"), "$ref"));
  if (ref == nullptr) return "has no schema";
  const std::string name = Pieces(absl::StrSplit(ref, '/')).back();
  const json_t* schema = json_object_get(
      json_object_get(json_object_get(root_.get(), "components"), "schemas"),
      name.c_str());
  const std::unique_ptr<json_t, decltype(&json_decref)> value(
      json_loads(body.c_str(), 0, nullptr), &json_decref);
  if (schema == nullptr || value == nullptr)
    return absl::StrCat("no schema ", name, ", or no JSON");
  return Judge(schema, value.get(), name);
}

}  // namespace kine
