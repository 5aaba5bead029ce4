// The daemon's own document (GET /v1/openapi.json), by which its replies are
// judged.
//
// Immutable; any thread.
#pragma once

#include <memory>
#include <string>

struct json_t;

namespace kine {

class ApiDocument {
 public:
  explicit ApiDocument(const std::string& json);

  const json_t* json() const { return root_.get(); }

  // What is wrong with a reply, "" when nothing is: a status or media type that
  // is not in the document; of JSON, a member that is missing, of another type,
  // or one that the schema does not know. Replies may grow members, but then
  // the document has to say so.
  std::string Complaint(const std::string& method, const std::string& target,
                        int status, const std::string& media_type,
                        const std::string& body) const;

 private:
  std::shared_ptr<json_t> root_;
};

}  // namespace kine
