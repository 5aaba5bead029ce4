// What replies look like, as JSON Schema: told from texts that their own
// writers made, so that the document cannot say anything else than the code
// does.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "daemon/base/check.h"
#include "ipc/json_out.h"
#include "ipc/routes.h"

namespace kine {
namespace {

// Reads texts that a JsonOut wrote: anything else is a bug.
class SampleReader {
 public:
  explicit SampleReader(absl::string_view text) : rest_(text) {}

  char next() const {
    KINE_CHECK(!rest_.empty());
    return rest_.front();
  }
  bool done() const { return rest_.empty(); }
  bool Skip(char c) {
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  // Without its quotes, escapes as they are.
  absl::string_view Text() {
    KINE_CHECK(Skip('"'));
    size_t end = 0;
    while (end < rest_.size() && rest_[end] != '"')
      end += rest_[end] == '\\' ? 2 : 1;
    KINE_CHECK(end < rest_.size());
    const absl::string_view text = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    return text;
  }
  // A number, or true, false, null.
  absl::string_view Word() {
    const size_t end = std::min(rest_.find_first_of(",]}"), rest_.size());
    KINE_CHECK(end > 0);
    const absl::string_view word = rest_.substr(0, end);
    rest_.remove_prefix(end);
    return word;
  }

 private:
  absl::string_view rest_;
};

// All that was seen in one place of the samples.
class Shape {
 public:
  void Add(SampleReader& in);
  // As members of an object that is open.
  void WriteTo(JsonOut& out) const;

 private:
  struct Member {
    std::string name;
    std::unique_ptr<Shape> shape;
    int seen = 0;
  };

  void AddObject(SampleReader& in);
  void AddList(SampleReader& in);
  void WriteObject(JsonOut& out) const;

  std::vector<const char*> types_;  // In the order in which they came.
  void See(const char* type);
  int objects_ = 0;
  std::vector<Member> members_;
  std::unique_ptr<Shape> other_;  // Of members with any name.
  std::unique_ptr<Shape> items_;
};

void Shape::See(const char* type) {
  for (const char*& seen : types_) {
    if (absl::string_view(seen) == type) return;
    // Every integer is a number.
    if (absl::string_view(seen) == "number" &&
        absl::string_view(type) == "integer")
      return;
    if (absl::string_view(seen) == "integer" &&
        absl::string_view(type) == "number") {
      seen = type;
      return;
    }
  }
  types_.push_back(type);
}

void Shape::Add(SampleReader& in) {
  switch (in.next()) {
    case '{':
      return AddObject(in);
    case '[':
      return AddList(in);
    case '"':
      in.Text();
      return See("string");
    default:
      break;
  }
  const absl::string_view word = in.Word();
  if (word == "null")
    See("null");
  else if (word == "true" || word == "false")
    See("boolean");
  else
    See(word.find_first_of(".eE") == word.npos ? "integer" : "number");
}

void Shape::AddObject(SampleReader& in) {
  See("object");
  ++objects_;
  KINE_CHECK(in.Skip('{'));
  while (!in.Skip('}')) {
    const absl::string_view name = in.Text();
    KINE_CHECK(in.Skip(':'));
    if (absl::StartsWith(name, "<")) {
      if (other_ == nullptr) other_ = std::make_unique<Shape>();
      other_->Add(in);
    } else {
      auto member = std::ranges::find(members_, name, &Member::name);
      if (member == members_.end())
        member = members_.insert(
            member, Member{std::string(name), std::make_unique<Shape>()});
      ++member->seen;
      member->shape->Add(in);
    }
    in.Skip(',');
  }
}

void Shape::AddList(SampleReader& in) {
  See("array");
  KINE_CHECK(in.Skip('['));
  while (!in.Skip(']')) {
    if (items_ == nullptr) items_ = std::make_unique<Shape>();
    items_->Add(in);
    in.Skip(',');
  }
}

void Shape::WriteTo(JsonOut& out) const {
  if (types_.size() == 1) {
    out.Field("type", types_.front());
  } else {
    out.BeginList("type");
    for (const char* type : types_) out.Value(type);
    out.End();
  }
  if (items_ != nullptr) {
    out.BeginObject("items");
    items_->WriteTo(out);
    out.End();
  }
  if (objects_ > 0) WriteObject(out);
}

void Shape::WriteObject(JsonOut& out) const {
  if (other_ != nullptr) {
    out.BeginObject("additionalProperties");
    other_->WriteTo(out);
    out.End();
  }
  if (members_.empty()) return;
  out.BeginObject("properties");
  for (const Member& member : members_) {
    out.BeginObject(member.name);
    member.shape->WriteTo(out);
    out.End();
  }
  out.End();
  // What one of the samples does without may be missing.
  out.BeginList("required");
  for (const Member& member : members_)
    if (member.seen == objects_) out.Value(member.name);
  out.End();
}

}  // namespace

std::string SchemaOfSamples(absl::Span<const std::string> samples) {
  Shape shape;
  for (const std::string& sample : samples) {
    SampleReader in(sample);
    shape.Add(in);
    KINE_CHECK(in.done());
  }
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  shape.WriteTo(out);
  out.End();
  return text;
}

}  // namespace kine
