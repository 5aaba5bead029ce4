// Values for a JSON Schema as ipc/json_in.h writes it: the ones at its limits,
// and those just outside or of another type.
//
// Pure functions; any thread.
#pragma once

#include <string>
#include <vector>

struct json_t;

namespace kine {

struct SchemaValue {
  std::string json;  // The value, as text: not everything fits a parser.
  bool legal = true;
  // A text whose meaning the schema does not know: a path, a time.
  bool free_text = false;
};

std::vector<SchemaValue> ValuesOf(const json_t* schema);

// `object` (JSON, "" for an empty one) with `name` set to `value`.
std::string WithMember(const std::string& object, const std::string& name,
                       const std::string& value);

}  // namespace kine
