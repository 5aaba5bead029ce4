// LinePattern: finds the first line of a stream that a regular expression
// matches, in time linear in the stream (RE2), whatever the expression.
//
// One thread. Lines are looked at up to kLineBytesMax, and the line that is
// still being written as far as it goes, because a prompt has no end.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace re2 {
class RE2;
}

namespace kine {

class LinePattern {
 public:
  static constexpr size_t kLineBytesMax = 4096;

  // INVALID_ARGUMENT, naming `ready.regex`, with RE2's reason.
  static absl::StatusOr<std::unique_ptr<LinePattern>> Create(
      const std::string& expression);
  ~LinePattern();
  LinePattern(const LinePattern&) = delete;
  LinePattern& operator=(const LinePattern&) = delete;

  // True when a line matches, and from then on.
  bool Feed(absl::string_view bytes);

 private:
  explicit LinePattern(std::unique_ptr<re2::RE2> expression);
  bool Matches() const;

  const std::unique_ptr<re2::RE2> expression_;
  std::string line_;
  bool found_ = false;
};

}  // namespace kine
