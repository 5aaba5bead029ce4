#include "tests/integration/json_value.h"

#include <gtest/gtest.h>
#include <jansson.h>

#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "ipc/json_out.h"

namespace kine {

std::string JsonText(const std::string& text) {
  std::string out;
  JsonOut(out).Value(text);
  return out;
}

Json::Json(std::string text) : text_(std::move(text)) {
  root_ = std::shared_ptr<json_t>(
      json_loadb(text_.data(), text_.size(), 0, nullptr),
      [](json_t* root) { json_decref(root); });
}

json_t* Json::Find(const std::string& path) const {
  json_t* at = root_.get();
  const std::vector<std::string> steps =
      absl::StrSplit(path, '.', absl::SkipEmpty());
  for (const std::string& step : steps) {
    size_t index = 0;
    if (json_is_array(at) && absl::SimpleAtoi(step, &index))
      at = json_array_get(at, index);
    else
      at = json_object_get(at, step.c_str());
  }
  return at;
}

json_t* Json::Need(const std::string& path,
                   bool (*is_type)(const json_t*)) const {
  json_t* value = Find(path);
  if (value != nullptr && is_type(value)) return value;
  ADD_FAILURE() << "no such value at " << path << " in " << text_;
  return nullptr;
}

int64_t Json::Int(const std::string& path) const {
  return json_integer_value(
      Need(path, [](const json_t* v) { return bool{json_is_integer(v)}; }));
}

double Json::Number(const std::string& path) const {
  return json_number_value(
      Need(path, [](const json_t* v) { return bool{json_is_number(v)}; }));
}

std::string Json::Text(const std::string& path) const {
  const char* text = json_string_value(
      Need(path, [](const json_t* v) { return bool{json_is_string(v)}; }));
  return text == nullptr ? "" : text;
}

bool Json::Bool(const std::string& path) const {
  return json_is_true(
      Need(path, [](const json_t* v) { return bool{json_is_boolean(v)}; }));
}

size_t Json::Size(const std::string& path) const {
  json_t* value = Need(path, [](const json_t* v) {
    return json_is_array(v) || json_is_object(v);
  });
  return json_is_object(value) ? json_object_size(value)
                               : json_array_size(value);
}

}  // namespace kine
