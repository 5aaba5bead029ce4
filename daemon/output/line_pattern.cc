#include "daemon/output/line_pattern.h"

#include <re2/re2.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ipc/problem.h"

namespace kine {
namespace {

// Of the compiled expression and its automata: (a{1,1000}){1,1000} is refused.
constexpr int64_t kExpressionBytesMax = 1 << 20;

}  // namespace

absl::StatusOr<std::unique_ptr<LinePattern>> LinePattern::Create(
    const std::string& expression) {
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kExpressionBytesMax);
  auto compiled = std::make_unique<re2::RE2>(expression, options);
  if (!compiled->ok())
    return FieldError("ready.regex",
                      absl::StrCat("is no RE2 expression: ", compiled->error(),
                                   "; https://github.com/google/re2/wiki/"
                                   "Syntax"));
  return std::unique_ptr<LinePattern>(new LinePattern(std::move(compiled)));
}

LinePattern::LinePattern(std::unique_ptr<re2::RE2> expression)
    : expression_(std::move(expression)) {}

LinePattern::~LinePattern() = default;

bool LinePattern::Matches() const {
  absl::string_view line = line_;
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return re2::RE2::PartialMatch(re2::StringPiece(line.data(), line.size()),
                                *expression_);
}

bool LinePattern::Feed(absl::string_view bytes) {
  while (!found_ && !bytes.empty()) {
    const size_t newline = bytes.find('\n');
    const absl::string_view part = bytes.substr(0, newline);
    const size_t room = kLineBytesMax - line_.size();
    line_.append(part.data(), std::min(part.size(), room));
    found_ = Matches();
    if (newline == bytes.npos) break;
    line_.clear();
    bytes.remove_prefix(newline + 1);
  }
  return found_;
}

}  // namespace kine
