// JSON that a test looks into: values by path ("frames.captured", "items.0").
//
// Immutable; any thread. Getters add a failure when the value is missing or of
// another type.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

struct json_t;

namespace kine {

// `text` as a JSON string, quotes included.
std::string JsonText(const std::string& text);

class Json {
 public:
  Json() = default;
  // Text that is not JSON becomes a value without members.
  explicit Json(std::string text);

  const std::string& text() const { return text_; }
  bool valid() const { return root_ != nullptr; }
  bool Has(const std::string& path) const { return Find(path) != nullptr; }
  int64_t Int(const std::string& path) const;
  double Number(const std::string& path) const;  // Whole ones, too.
  std::string Text(const std::string& path) const;
  bool Bool(const std::string& path) const;
  // Of a list or an object.
  size_t Size(const std::string& path) const;

 private:
  json_t* Find(const std::string& path) const;
  json_t* Need(const std::string& path, bool (*is_type)(const json_t*)) const;

  std::string text_;
  std::shared_ptr<json_t> root_;
};

}  // namespace kine
